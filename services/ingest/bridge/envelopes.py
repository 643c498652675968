"""What surrounds a JSON message on a topic: CloudEvents, and Confluent's wire format.

CloudEvents 1.0 in Kafka: structured mode is a JSON object with `specversion` and `data`; binary
mode has the attributes in headers `ce_…` (github.com/cloudevents/spec,
cloudevents/bindings/kafka-protocol-binding.md). Confluent's wire format is a zero byte, the
schema's id in four bytes, and the payload; of its serializers, only the one for JSON Schema writes
a payload that can be read without the registry.
"""

import base64
import binascii
from typing import Final, NamedTuple

import orjson

from services.contracts.errors import InvalidRecord
from services.formats.json_files import parse_json
from services.runtime.observability.traces import Headers

_PREFIX: Final = "ce_"
_MAGIC: Final = b"\x00"
_WIRE_BYTES: Final = 5
"""The zero byte and the schema's id."""
_JSON_STARTS: Final = (b"{", b"[")
_JSON_TYPES: Final = ("json", "+json")


class Message(NamedTuple):
    """A message without what surrounded it.

    Attributes
    ----------
    content : JSON
    attributes : CloudEvents' attributes as `ce.NAME`
    """

    content: bytes
    attributes: dict[str, str]


def opened(value: bytes, headers: Headers) -> Message:
    """The message in a record's value.

    Raises
    ------
    InvalidRecord
        `unsupported_encoding`: it is Avro, Protobuf or another type than JSON. `invalid_json` or
        `malformed_record`: the CloudEvent is broken.
    """
    texts = {name.lower(): content.decode(errors="replace") for name, content in headers}
    media_type = texts.get("content-type", "").partition(";")[0].strip().lower()
    if f"{_PREFIX}specversion" in texts:
        _require_json(media_type)
        attributes = {
            f"ce.{name.removeprefix(_PREFIX)}": text
            for name, text in texts.items()
            if name.startswith(_PREFIX)
        }
        return Message(_without_schema(value), attributes)
    content = _without_schema(value)
    if media_type == "application/cloudevents+json" or b'"specversion"' in content:
        return _structured(content)
    return Message(content, {})


def _without_schema(value: bytes) -> bytes:
    if not value.startswith(_MAGIC) or len(value) < _WIRE_BYTES:
        return value
    content = value[_WIRE_BYTES:]
    if not content.lstrip().startswith(_JSON_STARTS):
        schema = int.from_bytes(value[1:_WIRE_BYTES], "big")
        raise InvalidRecord(
            f"Avro or Protobuf by schema {schema} of a registry: only JSON can be read; publish"
            " with the serializer for JSON Schema",
            reason="unsupported_encoding",
        )
    return content


def _structured(content: bytes) -> Message:
    event = parse_json(content)
    if not isinstance(event, dict) or "specversion" not in event:
        return Message(content, {})
    _require_json(str(event.get("datacontenttype", "")).partition(";")[0].strip().lower())
    attributes = {f"ce.{name}": value for name, value in event.items() if isinstance(value, str)}
    if "data_base64" in event:
        return Message(_decoded(event["data_base64"]), attributes)
    data = event.get("data")
    if data is None:
        raise InvalidRecord("the CloudEvent has no data", reason="malformed_record")
    return Message(_written(data), attributes)


def _written(data: object) -> bytes:
    """The data as JSON. Some producers put JSON into a text."""
    try:
        return data.encode() if isinstance(data, str) else orjson.dumps(data)
    except (UnicodeEncodeError, orjson.JSONEncodeError) as exc:
        # Half a surrogate pair, or hundreds of lists within each other, which Python's parser read.
        raise InvalidRecord(f"the CloudEvent's data: {exc}", reason="invalid_json") from exc


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidRecord(f"data_base64: {exc}", reason="malformed_record") from exc


def _require_json(media_type: str) -> None:
    if media_type and not media_type.endswith(_JSON_TYPES):
        raise InvalidRecord(
            f"the data is {media_type!r:.60}: only JSON can be read", reason="unsupported_encoding"
        )

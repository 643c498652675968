"""NVIDIA DeepStream's JSON messages (Gst-nvmsgconv), in the full schema.

One message per object: `sensor.id`, `@timestamp`, and `object` with `bbox` and an object named by
its type (`vehicle`, `person`, …) that has the confidence. See `generate_object_object` in
nvmsgconv's sources. A frame is the image `SENSOR_TIMESTAMP`, because messages have no frame number.
"""

from typing import Any, Final

from services.formats import fields
from services.formats.fields import Record
from services.formats.readers.detections.boxes import from_corners
from services.formats.readers.detections.deepstream import track_of
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.messages import frame_name, messages
from services.formats.readers.detections.output import Output

_SIDES = ("topleftx", "toplefty", "bottomrightx", "bottomrighty")
_NO_TYPES: Final = frozenset(
    {"bbox", "location", "coordinate", "pose", "embedding", "bbox3d", "singleView3DTracking"}
)
VECTOR_MODEL: Final = "deepstream"
"""The model of `embedding.vector`, which messages do not name."""
_LEFT_OUT: Final = frozenset({"confidence", "license", "name"})
"""The score, and what identifies people."""


def recognises(files: OutputFiles) -> bool:
    """Whether a message has `sensor`, `@timestamp`, and `object` with `bbox`."""
    return files.has(_is_message)


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "@timestamp" in value
        and isinstance(value.get("sensor"), dict)
        and isinstance(value.get("object"), dict)
        and "bbox" in value["object"]
    )


def read(files: OutputFiles) -> Output:
    """The objects of all messages.

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found = Output(files.path)
    for message in messages(files, _is_message, found):
        value = message.value
        image = {"file_name": frame_name(value["sensor"].get("id"), value["@timestamp"])}
        files.note_image(image, value)
        found.add(image, value["object"], f"{message.location}:object", _converted)
    return found


def _converted(record: Record) -> Record:
    types = [
        key for key, value in record.items() if isinstance(value, dict) and key not in _NO_TYPES
    ]
    box = record["bbox"]
    if len(types) != 1 or not isinstance(box, dict):
        raise fields.malformed("object has no bbox, or not one type such as `vehicle`")
    traits = record[types[0]]
    found: Record = {
        "category_name": types[0],
        "score": traits.get("confidence", record.get("confidence")),
        "bbox": from_corners([box.get(side) for side in _SIDES]),
        "attributes": {key: value for key, value in traits.items() if key not in _LEFT_OUT},
    }
    own = track_of(str(record.get("id", "")))
    return {**found, **own, **_vector_of(record.get("embedding"))}


def _vector_of(embedding: Any) -> Record:
    """The object's `vector`, where the message has one: `embedding.vector`, a list of numbers."""
    values = embedding.get("vector") if isinstance(embedding, dict) else None
    return {"vector": {"model": VECTOR_MODEL, "values": values}} if values else {}

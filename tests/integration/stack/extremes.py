"""Events whose fields are at, or beyond, the ends of what their schemas allow."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from services.contracts.documents import example, schema
from services.contracts.events import Event

_FAR = (2**31, 2**53, 2**63, -(2**63) - 1, 10**40)
_ODD_NUMBERS = (1e308, -1e308, 5e-324, -0.0, *_FAR)
_ODD_TEXTS = ("", "\x00", "a b", "\u202e", "$", "a.b", "%", "é" * 60, "x" * 250, "y" * 100_000)
_TIMES = (
    "1970-01-01T00:00:00Z",
    "2100-01-01T00:00:00Z",
    "2026-05-04T10:00:00-14:00",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "1969-12-31T23:59:59Z",
)
_ODD: tuple[Any, ...] = (None, [], {}, True)
_MAX_TEXT_LENGTH = 1000  # some fields may be longer than a record
_SOUND = 6  # of ten values, or nearly every event would be refused for one of its fields

Schema = dict[str, Any]


def documents(event: type[Event], fixed: dict[str, Sequence[Any]]) -> st.SearchStrategy[bytes]:
    """JSON of this event: of fixed fields some of these values, of all others any extreme."""
    whole = schema(event)
    sound = example(event)
    fields = {
        name: st.sampled_from(fixed[name])
        if name in fixed
        else _either(st.just(sound[name]), _extreme(node, whole, sound[name]))
        for name, node in whole["properties"].items()
        if name in sound and name not in ("type", "event_id", "schema_version")
    }
    written = st.fixed_dictionaries(fields).map(lambda made: {**sound, **made})
    return written.map(lambda made: json.dumps(made).encode())


def _either(sound: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda draw: sound if draw < _SOUND else other)


def _extreme(node: Schema, whole: Schema, sound: Any) -> st.SearchStrategy[Any]:
    if "$ref" in node:
        node = whole["$defs"][node["$ref"].rpartition("/")[2]]
    if "anyOf" in node:
        return st.one_of([_extreme(item, whole, sound) for item in node["anyOf"]])
    if node.get("type") == "array":
        return _array(node, whole, sound)
    if "properties" in node:
        return _object(node, whole, sound)
    return st.sampled_from([sound, *_scalars(node), *_ODD])


def _scalars(node: Schema) -> list[Any]:
    if node.get("type") in ("integer", "number"):
        names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        return [*(node[name] for name in names if name in node), *_ODD_NUMBERS]
    if node.get("format") == "date-time":
        return [*_TIMES, *_ODD_TEXTS]
    if node.get("type") == "string":
        return [
            *node.get("enum", []),
            "z" * min(node.get("maxLength", 10), _MAX_TEXT_LENGTH),
            *_ODD_TEXTS,
        ]
    return []


def _array(node: Schema, whole: Schema, sound: Any) -> st.SearchStrategy[Any]:
    items = node.get("prefixItems")
    if items:
        first = sound if isinstance(sound, list) else [None] * len(items)
        return st.tuples(
            *(
                _either(st.just(value), _extreme(item, whole, value))
                for item, value in zip(items, first, strict=False)
            )
        ).map(list)
    if not isinstance(sound, list) or not sound:
        return st.sampled_from([[], sound, *_ODD])
    one = _either(st.just(sound[0]), _extreme(node.get("items", {}), whole, sound[0]))
    return st.lists(one, max_size=3)


def _object(node: Schema, whole: Schema, sound: Any) -> st.SearchStrategy[Any]:
    given = sound if isinstance(sound, dict) else {}
    return st.fixed_dictionaries(
        {
            name: _either(st.just(given[name]), _extreme(part, whole, given[name]))
            for name, part in node["properties"].items()
            if name in given
        }
    )

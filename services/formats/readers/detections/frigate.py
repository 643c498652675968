"""Frigate's events: messages of the topic `frigate/events`, or the answer of `/api/events`.

Messages have `after` with the `box` as corners in pixels and `score`
(https://docs.frigate.video/integrations/mqtt); events of the API have `data` with the box as
`[x, y, width, height]` in fractions (`to_relative_box` in frigate/util/builtin.py). An event is of
the image `CAMERA-ID`, as Frigate names its snapshots. Of an event's messages, the last counts.
"""

from typing import Any

from services.formats import fields
from services.formats.fields import Record
from services.formats.readers.detections.boxes import RelativeBox, from_corners, numbers
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.messages import messages
from services.formats.readers.detections.output import Output

_EVENT = frozenset({"id", "camera", "label"})


def recognises(files: OutputFiles) -> bool:
    """Whether an event has `camera`, `label`, and a box."""
    return files.has(_is_message)


def _is_message(value: Any) -> bool:
    event = _event(value)
    return _EVENT.issubset(event) and bool(event.keys() & {"box", "data"})


def _event(value: Any) -> Record:
    event = value.get("after", value) if isinstance(value, dict) else {}
    return event if isinstance(event, dict) else {}


def read(files: OutputFiles) -> Output:
    """The events, each once.

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found = Output(files.path)
    last = {
        str(_event(message.value)["id"]): message for message in messages(files, _is_message, found)
    }
    for message in last.values():
        event = _event(message.value)
        image = {"file_name": f"{event['camera']}-{event['id']}"}
        files.note_image(image, event)
        found.add(image, event, message.location, _converted)
    return found


def _converted(record: Record) -> Record:
    place = next(
        (part for key in ("data", "snapshot") if isinstance(part := record.get(key), dict)), record
    )
    if "box" not in place:
        raise fields.malformed("the event has no box")
    is_relative = place is record.get("data")
    box = place["box"]
    zones = record.get("zones", record.get("entered_zones"))
    # A recognised face's name and a plate stand in `sub_label`: they identify people.
    return {
        "category_name": record["label"],
        "score": place.get("score", place.get("top_score", record.get("score"))),
        "bbox": RelativeBox(*numbers(box, 4, "box")) if is_relative else from_corners(box),
        "track_id": record["id"],
        "attributes": {"zones": ",".join(map(str, zones))} if isinstance(zones, list) else {},
    }

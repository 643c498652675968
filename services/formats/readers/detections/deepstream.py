"""NVIDIA DeepStream's JSON messages (Gst-nvmsgconv), in the minimal schema.

One message per frame: `sensorId`, `id` (the frame's number), and `objects`, each a text
`track|left|top|right|bottom|type|#|attributes…|confidence`, in pixels of the muxer's frames. See
`generate_dsmeta_message_minimal` in nvmsgconv's sources, and the page "Gst-nvmsgconv" of
https://docs.nvidia.com/metropolis/deepstream/dev-guide. A frame is the image `SENSOR_NUMBER`.
"""

from typing import Any, Final

from services.formats import fields
from services.formats.fields import Record
from services.formats.readers.detections.boxes import from_corners
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.messages import frame_name, messages
from services.formats.readers.detections.output import ImageReference, Output

_PLACE = 6
"""Fields before the first `#`: track, four sides, type."""
_UNTRACKED: Final = frozenset({"", "-1", "18446744073709551615"})
"""Track ids of objects that no tracker follows: -1, also as an unsigned number of 64 bits."""

# `generate_event_message_minimal`. Plates and names of persons are left out: they identify people.
_ATTRIBUTES: Final = {
    "vehicle": ("type", "make", "model", "color", "", "region"),
    "person": ("gender", "age", "hair", "cap", "apparel"),
    "face": ("gender", "age", "hair", "cap", "glasses", "facialhair", "", "", "eyecolor"),
    "product": ("brand", "type", "shape"),
}


def recognises(files: OutputFiles) -> bool:
    """Whether a message has `sensorId`, and `objects` that are texts."""
    return files.has(_is_message)


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "sensorId" in value
        and isinstance(value.get("objects"), list)
        and all(isinstance(item, str) for item in value["objects"])
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
        image = _image(message.value)
        files.note_image(image, message.value)
        for at, text in enumerate(message.value["objects"]):
            location = f"{message.location}:objects[{at}]"
            found.add(image, {"object": text}, location, _converted)
    return found


def _image(message: Record) -> ImageReference:
    return {"file_name": frame_name(message["sensorId"], message.get("id"))}


def _converted(record: Record) -> Record:
    head, *sections = record["object"].split("|#|")
    track, *sides, kind = head.split("|") if head.count("|") == _PLACE - 1 else ("", "")
    if not sides:
        raise fields.malformed(f"{record['object']!r:.80} is not track|left|top|right|bottom|type")
    *attributes, score = sections[0].split("|") if sections else [""]
    if not score:
        raise fields.malformed(f"{record['object']!r:.80} has no confidence")
    names = _ATTRIBUTES.get(kind.lower(), ())
    kept = zip(names, attributes, strict=False)
    found = {
        "category_name": kind,
        "score": as_number(score),
        "bbox": from_corners([as_number(side) for side in sides]),
        "attributes": {name: value for name, value in kept if name and value},
    }
    return found | track_of(track)


def track_of(track: str) -> dict[str, str]:
    """The `track_id` of an object, if a tracker follows it."""
    return {} if track in _UNTRACKED else {"track_id": track}


def as_number(text: str) -> float:
    """The number that a text holds.

    Raises
    ------
    InvalidRecord
        `malformed_record`: it holds none.
    """
    try:
        return float(text)
    except ValueError:
        raise fields.malformed(f"{text!r:.40} is not a number") from None

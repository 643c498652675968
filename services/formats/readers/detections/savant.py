"""Savant's frame metadata as JSON (its sink `metadata_json`), one message per frame.

`metadata.objects` with `bbox` (centre, sides and angle, in pixels of the frame), `confidence` and
`label`; `source_id`, `pts`, `width` and `height`; see adapters/python/sinks/metadata_json.py and
savant/api/parser.py of insight-platform/Savant. A frame is the image that the tag `location` names,
else `SOURCE_PTS`.
"""

from typing import Any, Final

from services.contracts.identity import Box
from services.formats.fields import Record
from services.formats.geometry import upright_box
from services.formats.readers.detections.boxes import from_centre, numbers
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.images import DeclaredSizes
from services.formats.readers.detections.messages import frame_name, messages
from services.formats.readers.detections.output import ImageReference, Output
from services.formats.readers.image_names import names_image

_END: Final = "EndOfStream"
_WHOLE_FRAME: Final = "auto"
"""The model of the object that Savant adds to each frame, around all of it."""
_UNTRACKED: Final = 2**64 - 1


def recognises(files: OutputFiles) -> bool:
    """Whether a message has `source_id` and `metadata.objects`."""
    return files.has(lambda value: _is_frame(value) and bool(value["metadata"]["objects"]))


def _is_frame(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "source_id" in value
        and isinstance(value.get("metadata"), dict)
        and isinstance(value["metadata"].get("objects"), list)
    )


def _is_message(value: Any) -> bool:
    return _is_frame(value) or (isinstance(value, dict) and value.get("schema") == _END)


def read(files: OutputFiles) -> Output:
    """The objects of all frames.

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found, sizes = Output(files.path), DeclaredSizes()
    for message in messages(files, _is_message, found):
        if not _is_frame(message.value):
            continue
        image = _image(message.value)
        files.note_image(image, message.value)
        sizes.add(image, {side: message.value.get(side) for side in ("width", "height")})
        for at, value in enumerate(message.value["metadata"]["objects"]):
            if isinstance(value, dict) and value.get("model_name") == _WHOLE_FRAME:
                continue
            found.add(image, value, f"{message.location}:objects[{at}]", _converted)
    found.images = sizes.images
    return found


def _image(message: Record) -> ImageReference:
    tags = message.get("tags")
    location = tags.get("location") if isinstance(tags, dict) else None
    if isinstance(location, str) and names_image(location):
        return {"file_name": location.removeprefix("file://")}
    return {"file_name": frame_name(message["source_id"], message.get("pts"))}


def _converted(record: Record) -> Record:
    found = {
        "category_name": record.get("label"),
        "score": record.get("confidence"),
        "bbox": _box(record.get("bbox")),
        "attributes": _attributes(record.get("attributes")),
    }
    is_tracked = record.get("object_id") not in (None, _UNTRACKED)
    return found | ({"track_id": record["object_id"]} if is_tracked else {})


def _box(value: object) -> Box:
    """The box, or the one around a box that is rotated by an angle in degrees."""
    box = value if isinstance(value, dict) else {}
    x, y, width, height = from_centre([box.get(side) for side in ("xc", "yc", "width", "height")])
    (degrees,) = numbers([box.get("angle") or 0.0], 1, "the angle")
    return upright_box((x, y, width, height), degrees)


def _attributes(value: object) -> Record:
    items = value if isinstance(value, list) else []
    return {
        str(item["name"]): item.get("value")
        for item in items
        if isinstance(item, dict) and "name" in item
    }

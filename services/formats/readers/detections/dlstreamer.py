"""Intel DL Streamer's JSON metadata (`gvametaconvert format=json`), one message per frame.

`objects` with `detection.bounding_box` (corners as fractions), `confidence` and `label`;
`resolution`, `source` and `timestamp` in nanoseconds; see
https://dlstreamer.github.io/elements/gvametaconvert.html. A frame is the image that `source` names,
else `STEM_TIMESTAMP` with the stem of the video, else the image that the message's file is named
after.
"""

from pathlib import PurePosixPath
from typing import Any

from services.formats.fields import Record
from services.formats.readers.detections.boxes import RelativeBox, from_corners
from services.formats.readers.detections.files import Document, OutputFiles
from services.formats.readers.detections.images import DeclaredSizes
from services.formats.readers.detections.messages import frame_name, messages
from services.formats.readers.detections.output import ImageReference, Output
from services.formats.readers.image_names import names_image

_SIDES = ("x_min", "y_min", "x_max", "y_max")


def recognises(files: OutputFiles) -> bool:
    """Whether a message has `objects` with `detection.bounding_box`."""
    return files.has(lambda value: _is_message(value) and bool(value["objects"]))


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("objects"), list)
        and all(isinstance(item, dict) and _detection(item) for item in value["objects"])
    )


def _detection(item: Record) -> Record:
    found = item.get("detection")
    return found if isinstance(found, dict) and "bounding_box" in found else {}


def read(files: OutputFiles) -> Output:
    """The objects of all messages.

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found, sizes = Output(files.path), DeclaredSizes()
    for message in messages(files, _is_message, found):
        image = _image(message)
        files.note_image(image, message.value)
        resolution = message.value.get("resolution")
        if isinstance(resolution, dict):
            sizes.add(image, resolution)
        for at, value in enumerate(message.value["objects"]):
            found.add(image, value, f"{message.location}:objects[{at}]", _converted)
    found.images = sizes.images
    return found


def _image(message: Document) -> ImageReference:
    source = message.value.get("source")
    if not isinstance(source, str):
        return message.image
    path = PurePosixPath(source.removeprefix("file://").partition("?")[0])
    if names_image(path.name):
        return {"file_name": str(path)}
    return {"file_name": frame_name(path.stem, message.value.get("timestamp"))}


def _converted(record: Record) -> Record:
    detection = _detection(record)
    box = detection["bounding_box"]
    sides = [box.get(side) for side in _SIDES] if isinstance(box, dict) else box
    found = {
        "category_name": detection.get("label"),
        "score": detection.get("confidence"),
        "bbox": RelativeBox(*from_corners(sides)),
        "attributes": {
            key: value["label"]
            for key, value in record.items()
            if key != "detection" and isinstance(value, dict) and "label" in value
        },
    }
    return found | ({"track_id": record["id"]} if "id" in record else {})

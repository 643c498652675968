"""Responses of Roboflow Inference and of Roboflow's hosted API, one per image.

`predictions` with `x`, `y` (the box's centre), `width`, `height`, `confidence`, `class`, and
`image` with its size, in pixels; see `ObjectDetectionInferenceResponse` in
inference/core/entities/responses/inference.py. Nothing in it names the image: its file's name
does, or its key in a mapping.
"""

from typing import Any

from services.formats.fields import Record
from services.formats.readers.detections.boxes import from_centre
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.images import DeclaredSizes
from services.formats.readers.detections.output import Output


def recognises(files: OutputFiles) -> bool:
    """Whether a part has `predictions` and `image`, with a size if there is any."""
    return files.has(_is_part)


def _is_part(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("predictions"), list)
        and isinstance(value.get("image"), dict)
        and {"width", "height"} <= value["image"].keys()
    )


def read(files: OutputFiles) -> Output:
    """The detections of all images.

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found, names, sizes = Output(files.path), files.names, DeclaredSizes()
    for part in files.parts(_is_part):
        if part.error is not None:
            found.refuse(part.image, part.value, part.location, part.error)
            continue
        files.note_image(part.image, part.value)
        sizes.add(part.image, part.value["image"])
        for at, value in enumerate(part.value["predictions"]):
            location = f"{part.location}:predictions[{at}]"
            found.add(part.image, value, location, lambda record: _converted(record, names))
    found.images = sizes.images
    return found


def _converted(record: Record, names: ClassNames | None) -> Record:
    is_named = isinstance(record.get("class"), str) or names is None
    named = {"category_name": record.get("class")}
    found = {
        **(named if is_named or names is None else names.record_of(record.get("class_id"))),
        "score": record.get("confidence"),
        "bbox": from_centre([record.get(key) for key in ("x", "y", "width", "height")]),
    }
    if record.get("tracker_id") is not None:
        found["track_id"] = record["tracker_id"]
    points = record.get("points")
    if isinstance(points, list) and all(isinstance(point, dict) for point in points):
        found["segmentation"] = [[point.get(axis) for point in points for axis in ("x", "y")]]
    return found

"""COCO's results format: a list of detections, or an object with `annotations` or `predictions`.

As detectron2 (`coco_instances_results.json`), mmdetection (`*.bbox.json`, `*.segm.json`) and
torchvision's reference scripts write it. See https://cocodataset.org/#format-results.
"""

from typing import Any

from services.formats import fields
from services.formats.readers.detections import ultralytics_predictions
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output
from services.formats.readers.records import located

_SAMPLE = 100


def recognises(files: OutputFiles) -> bool:
    """Whether a single file holds records of images with `bbox` or the like."""
    documents = [] if files.is_folder else list(files.documents())
    return (
        len(documents) == 1
        and _is_results(documents[0].value)
        and not ultralytics_predictions.recognises(files)
    )


def _is_results(value: Any) -> bool:
    if isinstance(value, dict):
        if "image" in value:  # Roboflow's
            return False
        value = value.get("annotations", value.get("predictions"))
    if not isinstance(value, list):
        return False
    return not value or any(map(_is_record, value[:_SAMPLE]))


def _is_record(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value.keys() & {"image_id", "file_name"})
        and not value.keys() & {"boxes", "bboxes", "predictions"}
    )


def read(files: OutputFiles) -> Output:
    """The records as they are.

    Raises
    ------
    InvalidRecord
        The path is a folder, or the file is unreadable or has no list of records.
    """
    if files.is_folder:
        raise fields.malformed(f"{files.path}: COCO results are a single file")
    found = Output(files.path)
    for document in files.documents():
        content = document.value
        if document.error is not None:
            found.refuse({}, content, document.location, document.error)
        elif isinstance(content, dict):
            found.categories = content.get("categories", [])
            found.images = content.get("images", [])
            name = "annotations" if "annotations" in content else "predictions"
            found.sources += located(files.path, name, content.get(name))
        else:
            found.sources += located(files.path, "", content)
    return found

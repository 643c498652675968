"""mmdetection's `preds/*.json`: `labels`, `scores` and `bboxes` of an image, in a file of its name.

Corners in pixels, labels from 0, masks as COCO's run lengths; see `DetInferencer.pred2dict` in
mmdet/apis/det_inferencer.py.
"""

from typing import Any

from services.formats.fields import Record
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output
from services.formats.readers.detections.parallel_lists import has_lists, read_lists

_KEYS = ("bboxes", "labels", "scores")


def recognises(files: OutputFiles) -> bool:
    """Whether a part has the lists `bboxes`, `labels` and `scores`."""
    return files.has(_is_part)


def _is_part(value: Any) -> bool:
    return has_lists(value, _KEYS)


def read(files: OutputFiles) -> Output:
    """The detections of all images.

    Raises
    ------
    InvalidRecord
        A single file is unreadable, or `unknown_category`: the classes have no names.
    """
    names = files.required_names
    return read_lists(files, "bboxes", lambda label: _category(label, names))


def _category(label: object, names: ClassNames) -> Record:
    return {"category_name": label} if isinstance(label, str) else names.record_of(label)

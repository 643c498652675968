"""What torchvision's detection models return for an image: `boxes`, `labels` and `scores`.

Corners in pixels, as lists; see `FasterRCNN` in torchvision/models/detection/faster_rcnn.py. The
image is named by its file's name, its key in a mapping, or `file_name` or `image_id` beside the
lists. Labels are names, or numbers: with a file of names they are positions in it (torchvision's
`weights.meta["categories"]` starts with `__background__`), else the data set's category ids.
"""

from typing import Any

from services.formats.fields import Record
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output
from services.formats.readers.detections.parallel_lists import has_lists, read_lists

_KEYS = ("boxes", "labels", "scores")


def recognises(files: OutputFiles) -> bool:
    """Whether a part has the lists `boxes`, `labels` and `scores`."""
    return files.has(_is_part)


def _is_part(value: Any) -> bool:
    return has_lists(value, _KEYS)


def read(files: OutputFiles) -> Output:
    """The detections of all images.

    Raises
    ------
    InvalidRecord
        A single file, or the file with the classes' names, is unreadable.
    """
    names = files.names
    return read_lists(files, "boxes", lambda label: _category(label, names))


def _category(label: object, names: ClassNames | None) -> Record:
    if isinstance(label, str):
        return {"category_name": label}
    return {"category_id": label} if names is None else names.record_of(label)

"""What torchvision's detection models return for an image: `boxes`, `labels` and `scores`.

Corners in pixels, as lists; see `FasterRCNN` in torchvision/models/detection/faster_rcnn.py. The
image is named by its file's name, its key in a mapping, or `file_name` or `image_id` beside the
lists. Labels are names, or numbers: with a file of names they are positions in it (torchvision's
`weights.meta["categories"]` starts with `__background__`), else the data set's category ids.
"""

from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output
from services.formats.readers.detections.parallel_lists import read_lists, recognises_lists

_BOXES = "boxes"


def recognises(files: OutputFiles) -> bool:
    """Whether a part has the lists `boxes`, `labels` and `scores`."""
    return recognises_lists(files, _BOXES)


def read(files: OutputFiles) -> Output:
    """The detections of all images.

    Raises
    ------
    InvalidRecord
        A single file, or the file with the classes' names, is unreadable.
    """
    return read_lists(files, _BOXES, files.names)

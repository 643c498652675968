"""mmdetection's `preds/*.json`: `labels`, `scores` and `bboxes` of an image, in a file of its name.

Corners in pixels, labels from 0, masks as COCO's run lengths; see `DetInferencer.pred2dict` in
mmdet/apis/det_inferencer.py.
"""

from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output
from services.formats.readers.detections.parallel_lists import read_lists, recognises_lists

_BOXES = "bboxes"


def recognises(files: OutputFiles) -> bool:
    """Whether a part has the lists `bboxes`, `labels` and `scores`."""
    return recognises_lists(files, _BOXES)


def read(files: OutputFiles) -> Output:
    """The detections of all images.

    Raises
    ------
    InvalidRecord
        A single file is unreadable, or `unknown_category`: the classes have no names.
    """
    return read_lists(files, _BOXES, files.required_names)

"""Pairs each image's detections with its annotations, and leaves out images that do not count."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from services.contracts.errors import InvalidRecord
from services.contracts.events import (
    Annotation,
    Detection,
    FrameAnnotated,
    IouType,
    PredictionsMade,
)
from services.domain.detection.category_map import SAME_NAMES, CategoryMap
from services.domain.metrics.counting import why_not_counted
from services.formats.items import FrameItem, Rejection

DETECTOR_NAME = "file"
DETECTOR_VERSION = "1"
_NO_DETECTIONS = "no_usable_detections"
_NO_GROUND_TRUTH = "no_ground_truth"


class ImagePair(NamedTuple):
    """What a detector predicted on an image, by the ground truth's names, and what is there."""

    predictions: PredictionsMade
    truth: FrameAnnotated


class ImagePairs:
    """Pairs the frames of a detector's results.

    Parameters
    ----------
    accept_partial : whether to count frames of which annotations or detections were refused
    categories : the category map of the detector

    Attributes
    ----------
    left_out : images that do not count, by reason
    """

    def __init__(
        self,
        iou_type: IouType,
        *,
        accept_partial: bool = False,
        categories: CategoryMap = SAME_NAMES,
    ) -> None:
        self._iou_type: IouType = iou_type
        self._accept_partial = accept_partial
        self._categories = categories
        self._objects: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def of(self, item: FrameItem) -> ImagePair | None:
        """The frame's pair; None, counted by its reason, if the frame does not count."""
        if item.annotations is None:
            self.left_out[_NO_GROUND_TRUTH] += 1
            return None
        if item.detections is None and not self._accept_partial:
            self.left_out[_NO_DETECTIONS] += 1
            return None
        pair = self._pair(item)
        reason = why_not_counted(pair.truth, pair.predictions, copy=False)
        if reason is not None:
            self.left_out[reason] += 1
            return None
        self._count_masks("detections", pair.predictions.detections)
        self._count_masks("annotations", pair.truth.annotations)
        return pair

    def add_refused(self, rejection: Rejection) -> None:
        """Count the image as left out, if the whole of it was refused."""
        if rejection.whole_frame:
            self.left_out[rejection.reason] += 1

    def require_masks(self) -> None:
        """Refuse to compare masks where there are none.

        Raises
        ------
        InvalidRecord
            `no_masks`: masks are compared, and no detection, or no annotation, has one.
        """
        if self._iou_type != "segm":
            return
        # One object without a mask counts as its box; all of them are another kind of file.
        for name, count in self._objects.items():
            if count and not self._masked[name]:
                raise InvalidRecord(
                    f"none of {count:,} {name} has a mask: give them `segmentation` (and images"
                    " `width` and `height`, for polygons), or compare boxes",
                    reason="no_masks",
                )

    def _pair(self, item: FrameItem) -> ImagePair:
        predictions = PredictionsMade(
            frame_id=item.frame_id,
            detector=DETECTOR_NAME,
            version=DETECTOR_VERSION,
            complete=item.detections_complete or self._accept_partial,
            iou_type=self._iou_type,
            detections=tuple(part.value for part in item.detections or ()),
        )
        truth = FrameAnnotated(
            frame_id=item.frame_id,
            complete=item.complete or self._accept_partial,
            annotations=tuple(part.value for part in item.annotations or ()),
        )
        return ImagePair(self._categories.named(predictions).predictions, truth)

    def _count_masks(self, name: str, parts: Sequence[Detection] | Sequence[Annotation]) -> None:
        self._objects[name] += len(parts)
        self._masked[name] += sum(part.mask is not None for part in parts)

"""Compares two detectors' results on a ground truth: without a broker, stores or services."""

from collections.abc import Iterable, Mapping

from services.contracts.errors import InvalidRecord
from services.contracts.events import IouType, Split
from services.contracts.identity import DetectorId, FrameId, VehicleId
from services.contracts.matches import CategoryMatched
from services.domain.detection.frame_matching import match_frame
from services.domain.detection.operating_scores import OperatingScores
from services.evaluator.files.image_pairs import ImagePair, ImagePairs
from services.evaluator.versions.comparison import Version, compared
from services.evaluator.versions.report import ComparisonReport
from services.formats.items import UNKNOWN_TIME, FrameItem, Rejection


class FileVersion:
    """Matches one detector's results as they come.

    Parameters
    ----------
    name : what the comparison calls it
    accept_partial : whether to count frames of which annotations or detections were refused
    """

    def __init__(self, name: str, iou_type: IouType, *, accept_partial: bool = False) -> None:
        self.name = DetectorId(name)
        self._pairs = ImagePairs(iou_type, accept_partial=accept_partial)
        self._matches: list[CategoryMatched] = []
        self.frames: set[FrameId] = set()

    @property
    def left_out(self) -> Mapping[str, int]:
        """Images that do not count, by reason."""
        return self._pairs.left_out

    def add(self, item: FrameItem) -> None:
        """Match a frame; the same frame must not be added twice."""
        pair = self._pairs.of(item)
        if pair is not None:
            self.frames.add(item.frame_id)
            self._matches += self._matched(item, pair)

    def add_refused(self, rejection: Rejection) -> None:
        """Count the image as left out, if the whole of it was refused."""
        self._pairs.add_refused(rejection)

    def require_masks(self) -> None:
        """Refuse to compare masks where there are none.

        Raises
        ------
        InvalidRecord
            `no_masks`: masks are compared, and no detection, or no annotation, has one.
        """
        try:
            self._pairs.require_masks()
        except InvalidRecord as exc:
            raise InvalidRecord(f"{self.name}: {exc}", reason=exc.reason) from exc

    def on(self, frames: Iterable[FrameId]) -> Version:
        """The version on some of its frames."""
        chosen = set(frames)
        return Version(self.name, [m for m in self._matches if m.frame_id in chosen])

    def _matched(self, item: FrameItem, pair: ImagePair) -> Iterable[CategoryMatched]:
        for category, rows in match_frame(*pair).items():
            yield CategoryMatched(
                frame_id=item.frame_id,
                detector=self.name,
                category=category,
                revision=1,
                split=Split.REFERENCE,
                shortlisted=False,
                vehicle_id=VehicleId("file"),
                drive_id=None,
                captured_at=UNKNOWN_TIME,
                tags=tuple(sorted((item.tags or {}).items())),
                **vars(rows),
            )


def compared_files(
    old: FileVersion, new: FileVersion, operating: OperatingScores
) -> ComparisonReport:
    """Compare two results on the frames that count for both.

    Raises
    ------
    InvalidRecord
        `nothing_to_compare`: there is no such frame. `no_masks`: masks are compared, and one of
        the files has none.
    """
    for version in (old, new):
        version.require_masks()
    frames = old.frames & new.frames
    if not frames:
        raise InvalidRecord(
            "no image counts in both: their ground truth or results were refused",
            reason="nothing_to_compare",
        )
    found = compared(old.on(frames), new.on(frames), frames, operating)
    return ComparisonReport.of(found, "all")

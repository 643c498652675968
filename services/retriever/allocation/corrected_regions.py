"""The corrected regions on a detector's shortlists, whose verdicts determine families' yields."""

from collections.abc import Collection, Mapping

from services.contracts.events import ErrorType
from services.contracts.identity import FrameId, NeedleId, RegionId
from services.domain.failure_modes import FailureMode
from services.domain.shortlists.allocation import Verdict
from services.retriever.allocation.active_needles import ActiveNeedles
from services.retriever.allocation.divided_budget import DividedBudget
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.labelled_regions import modes_of_regions
from services.retriever.logic import DetectorCategory
from services.retriever.sources import Sources

CORRECTED: TableSpec[FrameId, tuple[NeedleId, RegionId]] = TableSpec(
    "corrected", FrameId, tuple[NeedleId, RegionId]
)


class CorrectedRegions:
    """The region of each corrected frame, with the needle whose shortlist has it."""

    def __init__(
        self,
        needles: ActiveNeedles,
        division: DividedBudget,
        sources: Sources,
        changelog: Changelog,
    ) -> None:
        self._needles = needles
        self._division = division
        self._sources = sources
        self._corrected = changelog.table(CORRECTED)

    def note(self, frame: FrameId, needle: NeedleId, region: RegionId) -> None:
        """Add a frame whose ground truth was corrected."""
        self._corrected[frame] = needle, region

    def remove(self, frames: Collection[FrameId]) -> set[FrameId]:
        """Remove those of these frames that are here, because it was undone; returns them."""
        undone = self.among(frames)
        for frame in sorted(undone):
            del self._corrected[frame]
        return undone

    def among(self, frames: Collection[FrameId]) -> set[FrameId]:
        """Those of these frames that are corrected."""
        return {frame for frame in frames if frame in self._corrected}

    async def verdicts(self) -> list[Verdict]:
        """The verdicts on regions of active needles, without those listed for coverage."""
        listed = [
            item
            for frame, item in self._corrected.items()
            if item[0] in self._needles and not self._division.is_for_coverage(frame)
        ]
        families = await self._needles.families_of(listed)
        truths: dict[DetectorCategory, Mapping[RegionId, FailureMode | None]] = {}
        verdicts = []
        for needle_id, region in listed:
            detector_category, mode = self._needles.mode_of(needle_id)
            if mode.error is ErrorType.MISSED:
                continue  # a match is no evidence at a place where an object may be missed
            if detector_category not in truths:
                truths[detector_category] = await self._truths(detector_category)
            truth = truths[detector_category]
            if region in truth:
                verdicts.append(Verdict(families[region], confirmed=truth[region] == mode))
        return verdicts

    async def _truths(
        self, detector_category: DetectorCategory
    ) -> dict[RegionId, FailureMode | None]:
        """The failure mode of each region of a category on the corrected frames."""
        labelled = await self._sources.matches.of(detector_category)
        corrected = (item for item in labelled if item.frame_id in self._corrected)
        return modes_of_regions(corrected, self._sources.settings.region_score)

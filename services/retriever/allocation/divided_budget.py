"""The strategy `label-efficiency` of one detector: the purposes among which it divides a budget.

Frames for coverage are drawn by their permanent numbers, and go on shortlists of their category.
They are not predicted to fail, so their evidence is 0, which distinguishes them from all others.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from services.contracts.identity import Category, DetectorId, FrameId, RegionId
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.purposes import Finding, Purpose, divided, rare_of, shares_of
from services.domain.shortlists.strategies import LABEL_EFFICIENCY, rarity_of
from services.domain.statistics.sampling import permanent_number
from services.retriever import logic
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.labelled_regions import errors_at
from services.retriever.learning.match_cache import MatchCache
from services.retriever.logic import FrameFacts
from services.runtime.settings import Settings

_SPARE: Final = 2.0
"""Frames that are drawn, as a multiple of the budget: some are listed for other purposes."""
_CAMPAIGN: Final = "coverage"
PURPOSES: TableSpec[FrameId, Purpose] = TableSpec("purposes", FrameId, Purpose)
"""Of frames that are listed now, or were."""
FINDINGS: TableSpec[FrameId, Finding] = TableSpec("findings", FrameId, Finding)
"""Of frames that are reannotated, by this detector's errors or an earlier version's."""
COVERAGE: TableSpec[FrameId, RegionId] = TableSpec("coverage", FrameId, RegionId)
"""Frames that may be listed for coverage, with their surest detection."""


class DividedBudget:
    """Divides the budget of one detector among purposes."""

    def __init__(
        self,
        detector: DetectorId,
        matches: MatchCache,
        settings: Settings,
        changelog: Changelog,
    ) -> None:
        self._detector = detector
        self._matches = matches
        self._settings = settings
        self._operating = settings.operating_scores
        self._purposes = changelog.table(PURPOSES)
        self._findings = changelog.table(FINDINGS)
        self._coverage = changelog.table(COVERAGE)

    def note(self, frames: Mapping[FrameId, FrameFacts]) -> None:
        """Draw among frames that are new or changed; forget what an undone annotation found."""
        for frame, facts in sorted(frames.items()):
            if not facts.reannotated:
                self._findings.pop(frame, None)
            region = self._drawn(facts)
            if region is not None:
                self._coverage[frame] = region
            else:
                self._coverage.pop(frame, None)

    def is_for_coverage(self, frame: FrameId) -> bool:
        """Whether a listed frame is there whatever the detector found on it."""
        return self._purposes.get(frame) is Purpose.COVERAGE

    def spend(self, frames: Iterable[FrameId], purpose: Purpose) -> None:
        """Note what frames were listed for."""
        self._purposes.update(dict.fromkeys(frames, purpose))

    def parts(self, frames: int, waiting: Collection[FrameId]) -> dict[Purpose, int]:
        """How many of so many new frames are for each purpose.

        Parameters
        ----------
        waiting : the listed frames that are not annotated
        """
        listed = Counter(self._purposes.get(frame, Purpose.ERRORS) for frame in waiting)
        return divided(frames, shares_of(self._findings.values()), listed)

    async def rare(self) -> set[Category]:
        """The categories of which few objects are annotated."""
        return rare_of(await self._objects(self._detector))

    def covering(self) -> list[tuple[FrameId, RegionId]]:
        """The frames that may be listed for coverage, by their permanent numbers."""
        return sorted(self._coverage.items(), key=lambda item: self._number(item[0]))

    async def learn(self, records: Iterable[NeedleRecord]) -> None:
        """Take in what was found on frames that shortlists of any version of the detector have.

        Parameters
        ----------
        records : of any detector
        """
        by_version: defaultdict[DetectorId, list[NeedleRecord]] = defaultdict(list)
        for record in records:
            if (version := self._version_of(record)) is not None:
                by_version[version].append(record)
        for version, of_version in sorted(by_version.items()):
            # Once per version, because it adds up all annotated frames.
            objects = await self._objects(version)
            rare = rare_of(objects)
            purposes = {
                item.frame_id: _purpose_of(item.evidence, logic.named_in(record), rare)
                for record in of_version
                for item in logic.listed(record)
                if item.sampling is None
            }
            if version == self._detector:
                self._purposes.update(purposes)
            await self._find(version, purposes, objects)

    def _version_of(self, record: NeedleRecord) -> DetectorId | None:
        """The version of the detector for which this strategy made a needle's shortlist, if any."""
        shortlist = record.shortlist
        if shortlist is None or shortlist.provenance.strategy != LABEL_EFFICIENCY:
            return None
        version = shortlist.needle.detector
        name, _, _ = self._detector.rpartition("@")
        return version if version.rpartition("@")[0] == name else None

    async def judge(self) -> None:
        """Take in what was found on the frames that this detector's shortlists have."""
        objects = await self._objects(self._detector)
        await self._find(self._detector, self._purposes, objects)

    async def _find(
        self,
        version: DetectorId,
        purposes: Mapping[FrameId, Purpose],
        objects: Mapping[Category, int],
    ) -> None:
        errors: dict[FrameId, float] = {}
        for category, count in objects.items():
            least = self._operating.of(version, category)
            for labelled in await self._matches.of((version, category)):
                if labelled.reannotated and labelled.frame_id in purposes:
                    found = errors_at(labelled, least)
                    frame = labelled.frame_id
                    errors[frame] = errors.get(frame, 0.0) + found * rarity_of(count)
        self._findings.update(
            {frame: Finding(purposes[frame], errors[frame]) for frame in sorted(errors)}
        )

    async def _objects(self, version: DetectorId) -> dict[Category, int]:
        """Annotated objects of each category."""
        return {
            category: sum(
                item.ground_truths for item in await self._matches.of((detector, category))
            )
            for detector, category in await self._matches.known()
            if detector == version
        }

    def _drawn(self, facts: FrameFacts) -> RegionId | None:
        """The surest detection on a frame that is drawn; None if it is not."""
        settings = self._settings
        if self._number(facts.context.frame) >= _SPARE * settings.shortlist_budget:
            return None
        found = facts.drawable(
            self._detector, settings.split_rule, count_copies=settings.count_copies
        )
        return logic.surest(found) if found else None

    def _number(self, frame: FrameId) -> float:
        campaign = f"{_CAMPAIGN}-{self._settings.split_seed}-{self._detector}"
        return permanent_number(campaign, frame)


def _purpose_of(
    evidence: float, named: Collection[Category], rare: Collection[Category]
) -> Purpose:
    if not evidence:
        return Purpose.COVERAGE
    return Purpose.RARE if any(name in rare for name in named) else Purpose.ERRORS

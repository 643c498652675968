"""Compares two stored versions of a detector, and what re-annotation between them cost."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from services.contracts.errors import InvalidRecord
from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated, Split
from services.contracts.identity import DetectorId, FamilyId, FrameId, NeedleId
from services.contracts.matches import CategoryMatched
from services.domain.chunks import chunks
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.counting import counts_without_match
from services.domain.metrics.match_columns import sound_matches
from services.domain.ports.frames import FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleStore
from services.evaluator.versions.campaign import Campaign, Cost
from services.evaluator.versions.comparison import Version, compared
from services.evaluator.versions.report import ComparisonReport, Frames

Families = Mapping[NeedleId, FamilyId]
_LOADED = 500
"""Frames per query."""


@dataclass(frozen=True)
class StoredVersions:
    """Reads what is stored of detector versions.

    Attributes
    ----------
    families_of : the family of each of a detector's needles that is in one
    """

    frames: FrameStore
    matches: MatchStore
    needles: NeedleStore
    families_of: Callable[[DetectorId], Awaitable[Families]]
    operating: OperatingScores

    async def compare(
        self, old: DetectorId, new: DetectorId, frames_of: Frames
    ) -> ComparisonReport:
        """Compare two versions on the frames that both processed.

        Parameters
        ----------
        frames_of : on reference frames, which no training set contains, or on all frames

        Raises
        ------
        InvalidRecord
            `nothing_to_compare`: there is no such frame.
        StoreUnavailable
            A store does not answer.
        """
        split = Split.REFERENCE if frames_of == "reference" else None
        found = {name: await self._matches(name, split) for name in (old, new)}
        common = await self._common(old, new, found)
        if not common:
            raise InvalidRecord(
                f"no {'reference frame' if split else 'frame'} with ground truth has predictions of"
                f" both {old} and {new}",
                reason="nothing_to_compare",
            )
        before, after = [
            Version(
                name,
                [match for match in found[name] if match.frame_id in common],
                await self.families_of(name),
            )
            for name in (old, new)
        ]
        comparison = await asyncio.to_thread(compared, before, after, common, self.operating)
        campaign = await self._campaign(old, before.families)
        return ComparisonReport.of(comparison, frames_of, campaign)

    async def _matches(self, detector: DetectorId, split: Split | None) -> list[CategoryMatched]:
        scanned = self.matches.scan(detector=detector, split=split)
        return sound_matches([match async for match in scanned if not match.is_empty])

    async def _common(
        self,
        old: DetectorId,
        new: DetectorId,
        found: Mapping[DetectorId, Sequence[CategoryMatched]],
    ) -> set[FrameId]:
        """The frames that both processed, and that one of them has a match of.

        A frame without objects has no match of a version that detects nothing on it: there, its
        predictions tell.
        """
        matched = {name: {match.frame_id for match in matches} for name, matches in found.items()}
        common = matched[old] & matched[new]
        for known, other in ((old, new), (new, old)):
            for chunk in chunks(sorted(matched[known] - matched[other]), _LOADED):
                records = await self.frames.load(chunk)
                # The other version's match shows that the frame counts, even if it is a copy.
                common |= {
                    frame_id
                    for frame_id, record in records.items()
                    if counts_without_match(record, other, copy=False)
                }
        return common

    async def _campaign(self, old: DetectorId, families: Families) -> Campaign:
        """The cost of the re-annotated frames on the old version's shortlists."""
        shown: defaultdict[FrameId, set[str]] = defaultdict(set)
        async for record in self.needles.scan(detector=old):
            if record.shortlist is not None:
                for candidate in record.shortlist.candidates:
                    shown[candidate.frame_id].add(families.get(record.needle_id, ""))
        spent = await self.frames.annotated_from(REANNOTATION_SOURCE) & shown.keys()
        truths = await self._truths(spent)
        by_family: defaultdict[str, list[FrameAnnotated]] = defaultdict(list)
        for truth in truths:
            for family in shown[truth.frame_id]:
                by_family[family].append(truth)
        by_family.pop("", None)
        return Campaign(
            Cost.of(truths), {family: Cost.of(found) for family, found in by_family.items()}
        )

    async def _truths(self, frame_ids: Collection[FrameId]) -> list[FrameAnnotated]:
        loaded = [await self.frames.load(chunk) for chunk in chunks(sorted(frame_ids), _LOADED)]
        records = chain.from_iterable(part.values() for part in loaded)
        return [record.ground_truth for record in records if record.ground_truth is not None]

"""Caches the labels that matches give to regions of reference and reannotated frames."""

from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field

from cachetools import LRUCache

from services.contracts.events import Split
from services.contracts.identity import FrameId
from services.contracts.matches import CategoryMatched, FrameMatched, categories_of
from services.domain.chunks import chunks
from services.domain.ports.matches import MatchStore
from services.retriever import logic
from services.retriever.caches import FrameCache, keep
from services.retriever.labelled_regions import LabelledRegions
from services.retriever.logic import DetectorCategory

_MATCH_BYTES = 600
_REGION_BYTES = 260
"""Sizes of Python objects with what they refer to, measured with tracemalloc, rounded up."""
_NAMED = 200
"""Frames whose matches one query reads: all of them at once would be in memory together."""


@dataclass
class _Labelled:
    """The labelled frames of one category."""

    frames: dict[FrameId, LabelledRegions] = field(default_factory=dict)
    nbytes: int = 0

    def put(self, annotated: LabelledRegions) -> None:
        self.remove(annotated.frame_id)
        self.frames[annotated.frame_id] = annotated
        self.nbytes += _bytes_of(annotated)

    def remove(self, frame_id: FrameId) -> None:
        before = self.frames.pop(frame_id, None)
        if before is not None:
            self.nbytes -= _bytes_of(before)


def _bytes_of(annotated: LabelledRegions) -> int:
    return _MATCH_BYTES + _REGION_BYTES * len(annotated.regions)


class _Categories(LRUCache[DetectorCategory, _Labelled]):
    """Remembers which categories it dropped: their frames have to be read again."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(most_bytes, lambda labelled: labelled.nbytes)
        self.dropped: set[DetectorCategory] = set()

    def popitem(self) -> tuple[DetectorCategory, _Labelled]:
        """Drop the category that was not used for longest."""
        detector_category, labelled = super().popitem()
        self.dropped.add(detector_category)
        return detector_category, labelled


class MatchCache:
    """Caches the latest matches that label regions: of reference and of reannotated frames.

    Parameters
    ----------
    most_bytes : beyond it, the categories that were not used for longest are dropped, and read
        again when they are needed
    """

    def __init__(self, store: MatchStore, frames: FrameCache, most_bytes: int) -> None:
        self._store = store
        self._frames = frames
        self._categories = _Categories(most_bytes)
        self._verdicts: set[FrameId] = set()
        """Haystack frames that were reannotated, as far as their matches have been read."""
        self._is_complete = False
        """Whether the store was read, so that only dropped categories are incomplete."""

    def note(self, matches: Iterable[FrameMatched]) -> list[CategoryMatched]:
        """Record these matches; returns those that may change the examples.

        This includes repeated matches, because a process that has just started has seen none. For
        the same reason it includes all of haystack frames that were annotated more than once: any
        of them may undo a verdict that this process does not know.
        """
        changed = []
        for match in matches:
            is_known = _is_label(match) or match.frame_id in self._verdicts
            # Most matches label nothing, and taking one apart costs as much as decoding it.
            if is_known or match.revisions.truth > 1:
                changed += [
                    of_category
                    for of_category in categories_of([match])
                    if self._record(of_category) or not is_known
                ]
        return changed

    async def follow(self, frames: Collection[FrameId]) -> None:
        """Read again the matches of frames that another process has consumed."""
        async for match_ in self._matches_of(frames):
            self._record(match_)

    def forget_all(self) -> None:
        """Drop everything, so that it is read again."""
        self._categories.clear()
        self._categories.dropped.clear()
        self._verdicts.clear()
        self._is_complete = False

    async def known(self) -> list[DetectorCategory]:
        """The detectors and categories with labelled frames."""
        await self._complete()
        return sorted({*self._categories, *self._categories.dropped})

    async def of(self, detector_category: DetectorCategory) -> list[LabelledRegions]:
        """The labelled frames of a detector and category."""
        await self._complete()
        if detector_category in self._categories.dropped:
            return await self._read_again(detector_category)
        labelled = self._categories.get(detector_category)
        return list(labelled.frames.values()) if labelled is not None else []

    async def _complete(self) -> None:
        if not self._is_complete:
            async for match in self._labelling(await self._frames.reannotated()):
                self._record(match)
            self._is_complete = True

    async def _read_again(self, detector_category: DetectorCategory) -> list[LabelledRegions]:
        labelled = _Labelled()
        async for match in self._labelling(self._verdicts, detector_category):
            labelled.put(LabelledRegions.of(match))
        self._keep(detector_category, labelled)
        return list(labelled.frames.values())

    def _keep(self, detector_category: DetectorCategory, labelled: _Labelled) -> None:
        if keep(self._categories, detector_category, labelled):
            self._categories.dropped.discard(detector_category)
        else:
            self._categories.dropped.add(detector_category)

    async def _labelling(
        self, reannotated: Collection[FrameId], only: DetectorCategory | None = None
    ) -> AsyncIterator[CategoryMatched]:
        """The stored matches that label regions, of one category or of all.

        Parameters
        ----------
        reannotated : frames with verdicts
        """
        detector, category = only if only is not None else (None, None)
        categories = None if category is None else [category]
        async for match in self._store.scan(
            detector=detector, categories=categories, split=Split.REFERENCE
        ):
            yield match
        async for match in self._matches_of(reannotated):
            if match.reannotated and only in {None, logic.detector_category_of(match)}:
                yield match

    async def _matches_of(self, frames: Collection[FrameId]) -> AsyncIterator[CategoryMatched]:
        for part in chunks(sorted(frames), _NAMED):
            for match in await self._store.load(part):
                yield match

    def _record(self, match: CategoryMatched) -> bool:
        is_label = _is_label(match)
        if not is_label and match.frame_id not in self._verdicts:
            return False
        if match.reannotated and match.split is Split.HAYSTACK:
            self._verdicts.add(match.frame_id)
        detector_category = logic.detector_category_of(match)
        if detector_category in self._categories.dropped:
            return True
        labelled = self._categories.get(detector_category) or _Labelled()
        before = labelled.frames.get(match.frame_id)
        if before is not None and match.revision <= before.revision:
            return is_label
        if is_label:
            labelled.put(LabelledRegions.of(match))
        else:
            labelled.remove(match.frame_id)
        self._keep(detector_category, labelled)
        return True


def _is_label(match: FrameMatched | CategoryMatched) -> bool:
    return match.split is Split.REFERENCE or match.reannotated

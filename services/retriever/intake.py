"""Takes in an epoch's events: stores needles, and finds out what the events changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.contracts.errors import Fatal
from services.contracts.events import Event, FrameEmbedded, Split
from services.contracts.identity import FrameId
from services.contracts.matches import CategoryMatched, FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted
from services.domain.ports.needles import NeedleStore
from services.retriever import logic
from services.retriever.awaited_needles import AwaitedNeedles
from services.retriever.logic import DetectorCategory, FrameFacts
from services.retriever.sources import Sources
from services.retriever.stages import Changes


class _Batch(NamedTuple):
    """A batch's events by what they are about."""

    needles: list[NeedleFound | NeedleRetracted]
    embedded: list[FrameEmbedded]
    matched: list[FrameMatched]


def _sorted(events: Sequence[Event]) -> _Batch:
    """Every kind of event that the retriever reads has its case here.

    Raises
    ------
    Fatal
        An event of another service.
    """
    batch = _Batch([], [], [])
    for event in events:
        match event:
            case NeedleFound() | NeedleRetracted():
                batch.needles.append(event)
            case FrameEmbedded():
                batch.embedded.append(event)
            case FrameMatched():
                batch.matched.append(event)
            case _:
                raise Fatal(f"retriever does not consume {type(event).__name__}")
    return batch


class Intake:
    """Brings the stores and caches up to date with a batch of events."""

    def __init__(self, store: NeedleStore, sources: Sources, awaited: AwaitedNeedles) -> None:
        self._store = store
        self._sources = sources
        self._awaited = awaited

    async def take(self, events: Sequence[Event]) -> Changes:
        """What these events change.

        Raises
        ------
        Fatal
            An event of another service.
        """
        batch = _sorted(events)
        await self._store.record(batch.needles)
        stored = await self._sources.needles.refresh({needle.needle_id for needle in batch.needles})
        lists_for = self._sources.needles.lists_for
        records = {id_: record for id_, record in stored.items() if lists_for(record)}
        self._awaited.note(batch.needles, records)
        self._awaited.note_embedded(batch.embedded)
        labelled = self._sources.matches.note(batch.matched)
        frames = await self._facts_of(batch.embedded, labelled)
        embedded = {event.frame_id for event in batch.embedded} & frames.keys()
        haystack = {name for name in embedded if self._is_haystack(frames[name])}
        self._sources.size.note(haystack)
        return Changes(
            [records[needle_id] for needle_id in sorted(records)],
            frames,
            haystack,
            {match_.frame_id for match_ in labelled},
            self._observed(batch.embedded, labelled, frames),
        )

    async def _facts_of(
        self, embedded: Sequence[FrameEmbedded], labelled: Sequence[CategoryMatched]
    ) -> dict[FrameId, FrameFacts]:
        """The current facts of the frames that these events are about."""
        frame_ids = {event.frame_id for event in embedded}
        frame_ids |= {match_.frame_id for match_ in labelled}
        self._sources.frames.forget(frame_ids)
        return await self._sources.frames.load(frame_ids)

    def _observed(
        self,
        embedded: Sequence[FrameEmbedded],
        labelled: Sequence[CategoryMatched],
        facts: Mapping[FrameId, FrameFacts],
    ) -> dict[DetectorCategory, int]:
        """How many of these events may change the examples of each category."""
        observed = Counter(map(logic.detector_category_of, labelled))
        for item in embedded:
            seen = facts.get(item.frame_id)
            if seen is not None and not self._is_haystack(seen):
                observed.update({region.detector_category for region in seen.regions.values()})
        return observed

    def _is_haystack(self, facts: FrameFacts) -> bool:
        return facts.split(self._sources.settings.split_rule) is Split.HAYSTACK

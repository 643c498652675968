"""Takes back what an import published, or what a detector version predicted."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import structlog

from services.contracts.events import FrameAnnotated, PredictionsMade
from services.contracts.identity import DetectorId, FrameId, ImportId
from services.domain.ports.category_maps import MapScope
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.imports import ImportItem, ImportKind, ImportStore, Part, Undo
from services.domain.ports.paging import pages
from services.domain.withdrawal import withdrawn
from services.ground_truth.drafts import Revised
from services.ground_truth.publishing import RevisionPublisher

log = structlog.get_logger(__name__)

_AT_ONCE = 100


class Effect(StrEnum):
    """What an undo does to one part of a frame."""

    PREDICTIONS_WITHDRAWN = "predictions withdrawn"
    PREDICTIONS_RESTORED = "predictions restored to what they were before"
    GROUND_TRUTH_WITHDRAWN = "ground truth withdrawn"
    GROUND_TRUTH_RESTORED = "ground truth restored to what it was before"
    CHANGED_SINCE = "changed since by others, and kept"
    FRAME_KEPT = "frames kept, which `gazeloop erase` deletes"
    NO_LONGER_DRAWN = "drawn frames of a campaign, which no estimate uses any more"


LASTING: Final = {Effect.CHANGED_SINCE, Effect.FRAME_KEPT, Effect.NO_LONGER_DRAWN}
"""What an undo counts and does not change, so that a repeat counts it again."""


@dataclass(frozen=True)
class Change:
    """One part that is to be taken back.

    Attributes
    ----------
    after : the revision that is taken back
    draft : what takes its place; None where the part stays
    """

    frame_id: FrameId
    effect: Effect
    after: int = 0
    draft: Revised | None = None


@dataclass(frozen=True)
class Undoer:
    """Undoes as new revisions, so that history stays; whatever interrupts it, `sweep` finishes.

    A part is taken back only while the undone revision is its latest: corrections that were made
    since are kept. Needles, shortlists and figures follow from the new revisions.
    """

    imports: ImportStore
    frames: FrameStore
    publisher: RevisionPublisher

    async def preview(self, undo: Undo) -> Mapping[Effect, int]:
        """How many parts an undo would take back, by effect.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        counts: Counter[Effect] = Counter()
        async for changes, _ in self._changes(undo):
            counts.update(change.effect for change in changes)
        return counts

    async def sweep(self) -> int:
        """Do all undos that were requested; returns the number of parts that were taken back.

        Raises
        ------
        Transient
            A store or the broker does not answer; the next sweep continues.
        """
        taken_back = 0
        for undo in await self.imports.unfinished():
            parts = await self._finish(undo)
            log.info("undone", target=undo.target, parts=parts)
            taken_back += parts
        return taken_back

    async def _finish(self, undo: Undo) -> int:
        parts = 0
        await self._pass_over(undo)
        async for changes, last in self._changes(undo):
            parts += await self._take_back(undo, changes)
            await self.imports.advance(replace(undo, after=last))
        await self.imports.finish(undo)
        return parts

    async def _pass_over(self, undo: Undo) -> None:
        """See to it that no later import's undo brings back what this one takes back."""
        if undo.is_of_detector:
            return
        import_id = ImportId(undo.target)
        run = await self.imports.run(import_id)
        if run is not None and run.kind is ImportKind.CAMPAIGN:  # its items are others' revisions
            return
        items_after = self.imports.items_after
        async for items, _ in pages(lambda after: items_after(import_id, after, _AT_ONCE)):
            await self.imports.pass_over(items)

    async def _take_back(self, undo: Undo, changes: Sequence[Change]) -> int:
        # Marked first: from then on, an import of the same content is a new revision.
        taken = [change for change in changes if change.draft is not None]
        await self.imports.mark_undone({change.frame_id for change in taken}, undo.tag)
        drafts = [(change.draft, change.after) for change in taken if change.draft is not None]
        accepted = await self.publisher.publish_all_next(drafts, f"undo {undo.target}")
        return sum(item is not None for item in accepted)

    def _changes(self, undo: Undo) -> AsyncIterator[tuple[Sequence[Change], str]]:
        if undo.is_of_detector:
            return self._of_detector(DetectorId(undo.target), undo.after)
        return self._of_import(ImportId(undo.target), undo)

    async def _of_import(
        self, import_id: ImportId, undo: Undo
    ) -> AsyncIterator[tuple[Sequence[Change], str]]:
        run = await self.imports.run(import_id)
        of_campaign = run is not None and run.kind is ImportKind.CAMPAIGN
        items_after = self.imports.items_after
        read = pages(lambda after: items_after(import_id, after, _AT_ONCE), undo.after)
        async for items, last in read:
            records = await self.frames.load({item.frame_id for item in items})
            found = [(item, records.get(item.frame_id)) for item in items]
            if of_campaign:
                pairs = [_of_drawn(item, record, keeps=undo.keeps) for item, record in found]
                yield [change for pair in pairs for change in pair], last
            else:
                yield [_change(item, record) for item, record in found], last

    async def _of_detector(
        self, detector: DetectorId, after: str
    ) -> AsyncIterator[tuple[Sequence[Change], str]]:
        scope, effect = MapScope(detector), Effect.PREDICTIONS_WITHDRAWN
        made_after = self.frames.predictions_after
        async for made, last in pages(lambda key: made_after(scope, key, _AT_ONCE), after):
            changes = [
                Change(item.frame_id, effect, item.revision, withdrawn(item))
                for item in made
                if not item.withdrawn
            ]
            yield changes, last


def _change(item: ImportItem, record: FrameRecord | None) -> Change:
    if item.part is Part.FRAME:
        return Change(item.frame_id, Effect.FRAME_KEPT)
    current = record.part(item.detector) if record is not None else None
    if current is not None and current.revision > item.revision:
        return Change(item.frame_id, Effect.CHANGED_SINCE)
    if item.part is Part.GROUND_TRUTH:
        return _truth_before(item, item.revision)
    if item.previous is not None and not item.previous.withdrawn:
        draft = item.previous.model_copy(update={"revision": 1})
        return Change(item.frame_id, Effect.PREDICTIONS_RESTORED, item.revision, draft)
    assert item.detector is not None
    # The stored one keeps what the predictions are matched by.
    made = current if isinstance(current, PredictionsMade) else _nothing(item)
    return Change(item.frame_id, Effect.PREDICTIONS_WITHDRAWN, item.revision, withdrawn(made))


def _truth_before(item: ImportItem, after: int) -> Change:
    """Have the ground truth of before take the place of a revision."""
    if item.previous is not None and not item.previous.withdrawn:
        draft = item.previous.model_copy(update={"revision": 1})
        return Change(item.frame_id, Effect.GROUND_TRUTH_RESTORED, after, draft)
    draft = withdrawn(FrameAnnotated(frame_id=item.frame_id, annotations=()))
    return Change(item.frame_id, Effect.GROUND_TRUTH_WITHDRAWN, after, draft)


def _of_drawn(item: ImportItem, record: FrameRecord | None, *, keeps: bool) -> Iterator[Change]:
    """What an undo does to a frame that a campaign drew: as it was then, whoever annotated it."""
    yield Change(item.frame_id, Effect.NO_LONGER_DRAWN)
    current = record.ground_truth if record is not None else None
    # What another undo has withdrawn since must not come back.
    if keeps or current is None or current.withdrawn or current.revision <= item.revision:
        return
    change = _truth_before(item, current.revision)
    # An undo that was interrupted has published this already.
    if change.draft != current.model_copy(update={"revision": 1}):
        yield change


def _nothing(item: ImportItem) -> PredictionsMade:
    name, _, version = str(item.detector).partition("@")
    return PredictionsMade(frame_id=item.frame_id, detector=name, version=version, detections=())

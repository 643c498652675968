"""Notes what an import publishes, with what that replaces, so that it can be undone."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.contracts.events import FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.identity import FrameId, import_id
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.imports import ImportItem, ImportKind, ImportRun, ImportStore, Part
from services.domain.revision_conflicts import revision_of
from services.ground_truth.drafts import Draft
from services.runtime.clock import Clock


class ImportJournal:
    """The journal of one run, which is stored with its first events.

    Parameters
    ----------
    frames : has what the events replace
    """

    def __init__(self, run: ImportRun, imports: ImportStore, frames: FrameStore) -> None:
        self._run = run
        self._imports = imports
        self._frames = frames
        self._begun = False

    async def note(self, events: Sequence[Draft]) -> None:
        """Note events with their revisions before they are published.

        What was published moments ago may not be stored yet; then an undo withdraws the part.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        if not events:
            return
        if not self._begun:
            await self._imports.begin(self._run)
            self._begun = True
        # Most events are the first of their part, and replace nothing.
        later = {event.frame_id for event in events if revision_of(event) > 1}
        stored = await self._frames.load(later) if later else {}
        items = [_item(event, stored) for event in events]
        await self._imports.note(self._run.import_id, items)

    async def undone(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, str]:
        """For frames of which an import was undone, a tag for what is published of them again."""
        return await self._imports.undone(frame_ids)


@dataclass(frozen=True)
class DailyJournal:
    """The journal of a service, whose runs are the days on which it publishes.

    Restarts of a day share its run, and a run is never much older than what it has published.

    Attributes
    ----------
    by : the publisher; None for the annotators of what is published, each with runs of their own
    """

    kind: ImportKind
    name: str
    imports: ImportStore
    frames: FrameStore
    clock: Clock
    by: str | None = None

    async def note(self, events: Sequence[Draft]) -> None:
        """Note events with their revisions before they are published.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        day = self.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        of_person: defaultdict[str, list[Draft]] = defaultdict(list)
        for event in events:
            of_person[self.by or _annotator(event)].append(event)
        for by, drafts in of_person.items():
            run_id = import_id(f"{self.kind} {self.name} {by}", day.isoformat())
            run = ImportRun(run_id, self.kind, self.name, by, day)
            await ImportJournal(run, self.imports, self.frames).note(drafts)

    async def undone(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, str]:
        """For frames of which an import was undone, a tag for what is published of them again."""
        return await self.imports.undone(frame_ids)


def _annotator(event: Draft) -> str:
    return event.annotated_by or "" if isinstance(event, FrameAnnotated) else ""


def _item(event: Draft, stored: Mapping[FrameId, FrameRecord]) -> ImportItem:
    if isinstance(event, FrameCaptured):
        return ImportItem(Part.FRAME, event.frame_id, 1)
    detector = event.detector_id if isinstance(event, PredictionsMade) else None
    part = Part.GROUND_TRUTH if detector is None else Part.PREDICTIONS
    record = stored.get(event.frame_id)
    previous = record.part(detector) if record is not None else None
    if previous is not None and previous.revision >= event.revision:
        previous = None
    return ImportItem(part, event.frame_id, event.revision, detector, previous)

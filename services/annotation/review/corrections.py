"""Publishing corrected ground truth as the next revision of what the annotator saw."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.annotation.ports.corrections import Correction, CorrectionStore, Outcome
from services.contracts.events import REANNOTATION_SOURCE, Annotation, FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.domain.withdrawal import in_force
from services.ground_truth.drafts import next_entry
from services.ground_truth.publishing import RevisionPublisher


@dataclass(frozen=True)
class Corrector:
    """Publishes corrections; `resume` finishes those that a crash interrupted."""

    corrections: CorrectionStore
    publisher: RevisionPublisher

    async def ground_truth(self, record: FrameRecord) -> FrameAnnotated | None:
        """The frame's ground truth, including corrections that fp_miner has not stored yet.

        None if the frame is not annotated, or if an undo has withdrawn its ground truth.
        """
        return (await self.ground_truths([record])).get(record.frame_id)

    async def ground_truths(
        self, records: Collection[FrameRecord]
    ) -> dict[FrameId, FrameAnnotated]:
        """Like `ground_truth`, for each of these frames that has any."""
        latest = await self.corrections.latest_truths(records)
        return {frame_id: truth for frame_id, truth in latest.items() if in_force(truth)}

    async def publish(
        self, truth: FrameAnnotated, annotations: Sequence[Annotation], by: str, act_id: str = ""
    ) -> int | None:
        """Publish these annotations as the next revision and return it; None if it was overtaken.

        Parameters
        ----------
        truth : the frame's ground truth as the annotator saw it
        act_id : the id that the page's script gave the act

        Raises
        ------
        Transient
            A store or the broker is unavailable; the correction is stored and sent later.
        """
        # A verdict is about one region, so annotations refused elsewhere are still missing.
        return await self._publish(truth, annotations, by, act_id, complete=truth.complete)

    async def declare_complete(self, truth: FrameAnnotated, by: str) -> int | None:
        """Publish the same annotations as complete, although some were refused.

        Otherwise like `publish`.
        """
        return await self._publish(truth, truth.annotations, by, "", complete=True)

    async def annotate(
        self, frame_id: FrameId, annotations: Sequence[Annotation], by: str, after: int
    ) -> int | None:
        """Publish these annotations as the whole ground truth of a frame that has none in force.

        Otherwise like `publish`.

        Parameters
        ----------
        after : the revision of the withdrawn ground truth; 0 if there never was any
        """
        event = FrameAnnotated(
            frame_id=frame_id,
            revision=after + 1,
            annotated_by=by,
            annotation_source=REANNOTATION_SOURCE,
            annotations=tuple(annotations),
        )
        return await self._send(event, before=())

    async def _publish(
        self,
        truth: FrameAnnotated,
        annotations: Sequence[Annotation],
        by: str,
        act_id: str,
        *,
        complete: bool,
    ) -> int | None:
        event = FrameAnnotated(
            frame_id=truth.frame_id,
            revision=truth.revision + 1,
            annotated_by=by,
            annotation_source=REANNOTATION_SOURCE,
            complete=complete,
            annotations=tuple(annotations),
        )
        return await self._send(event, truth.annotations, act_id)

    async def _send(
        self, event: FrameAnnotated, before: tuple[Annotation, ...], act_id: str = ""
    ) -> int | None:
        correction_id = next_entry(event, event.revision - 1).digest
        correction = Correction(correction_id, event, before, act_id=act_id)
        await self.corrections.keep(correction)
        sent = await self._finish(correction)
        return event.revision if sent else None

    async def published_by(self, act_id: str, frame_id: FrameId) -> int | None:
        """The revision of a frame that this act has published; None if it has published none.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        if not act_id:
            return None
        sent = await self.corrections.published(frame_id)
        return next(
            (correction.event.revision for correction in sent if correction.act_id == act_id), None
        )

    async def before(self, frame_id: FrameId, revision: int) -> tuple[Annotation, ...] | None:
        """The annotations before one of the page's corrections; None if they are not known.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        for correction in await self.corrections.published(frame_id):
            if correction.event.revision == revision:
                return correction.before
        return None

    async def resume(self) -> int:
        """Send stored corrections that were not sent, and return their number.

        Raises
        ------
        Transient
            A store or the broker is unavailable.
        """
        pending = await self.corrections.pending()
        for correction in pending:
            await self._finish(correction)
        return len(pending)

    async def _finish(self, correction: Correction) -> bool:
        event = correction.event
        accepted = await self.publisher.publish_next(event, after=event.revision - 1)
        outcome = Outcome.PUBLISHED if accepted else Outcome.OVERTAKEN
        await self.corrections.settle(correction, outcome)
        return accepted is not None

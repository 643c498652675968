"""Corrections that ask something are held, and go on their way once somebody has answered."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from services.contracts.events import FrameAnnotated
from services.contracts.identity import Category
from services.contracts.topics import GROUND_TRUTH
from services.domain.ports.ledger import Entry, RevisionLedger
from services.ground_truth.answers import answered, counting, held_id_of, labels_of, open_labels
from services.ground_truth.drafts import entry_of, tagged
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.step import Outbox
from services.runtime.stores.categories import MongoCategories
from services.runtime.stores.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    MongoHeldCorrections,
    Question,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class IncomingCorrection:
    """One frame's correction as it came.

    Attributes
    ----------
    versions : one, or one for each annotator who disagrees
    origin : where it came from, for a person
    tag : tells it from the same correction that came before another
    """

    versions: Sequence[FrameAnnotated]
    origin: str
    tag: str = ""


@dataclass(frozen=True)
class CorrectionGate:
    """Lets a correction through, or holds it until somebody answers what it asks."""

    held: MongoHeldCorrections
    categories: MongoCategories
    clock: Clock

    async def judged(
        self, corrections: Sequence[IncomingCorrection]
    ) -> list[FrameAnnotated | HeldCorrection]:
        """Each as it may be published, or what is held of it; held ones are kept durably.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        unknown, answers = await self.understood(
            labels_of([version for came in corrections for version in came.versions])
        )
        judged: list[FrameAnnotated | HeldCorrection] = []
        for came in corrections:
            question = question_of(came.versions, unknown)
            if question is None:
                judged.append(answered(came.versions[0], answers))
                continue
            held = self.question(question, came.versions, unknown, None, came.origin, came.tag)
            judged.append(held)
        await self.held.hold(
            [correction for correction in judged if isinstance(correction, HeldCorrection)]
        )
        latest = {truth.frame_id: truth for truth in judged}
        await self.held.supersede(
            [frame_id for frame_id, truth in latest.items() if isinstance(truth, FrameAnnotated)]
        )
        return judged

    async def understood(
        self, labels: Collection[Category]
    ) -> tuple[set[Category], Mapping[str, LabelAnswer]]:
        """Those of the labels that nobody knows and nobody has explained, and the explanations."""
        answers = await self.held.answers(labels)
        known = await self.categories.known(labels)
        return set(labels) - known - set(answers), answers

    def question(  # noqa: PLR0917  # each is one fact of the correction
        self,
        question: Question,
        versions: Sequence[FrameAnnotated],
        unknown: Collection[Category],
        after: int | None,
        origin: str,
        tag: str = "",
    ) -> HeldCorrection:
        """A correction to be held."""
        return HeldCorrection(
            held_id=held_id_of(versions, tag),
            frame_id=versions[0].frame_id,
            question=question,
            versions=tuple(versions),
            unknown=tuple(sorted(labels_of(versions) & set(unknown))),
            after=after,
            origin=origin,
            held_at=self.clock.now(),
            tag=tag,
        )


def question_of(
    versions: Sequence[FrameAnnotated], unknown: Collection[Category]
) -> Question | None:
    """What must be answered before one of the versions can be published; none where nothing."""
    if len(versions) > 1:
        return Question.ANNOTATORS_DISAGREE
    return Question.UNKNOWN_CATEGORY if labels_of(versions) & set(unknown) else None


@dataclass(frozen=True)
class CorrectionPublisher:
    """Gives corrections their revision and sends them; a repeat is the same event again.

    Parameters
    ----------
    way : how they came, for the metrics
    """

    ledger: RevisionLedger
    outbox: Outbox
    way: str

    async def next(self, draft: FrameAnnotated, after: int, tag: str) -> int | None:
        """Publish as revision `after + 1`; none where another content is that already.

        Parameters
        ----------
        tag : what makes this correction this one: the same content may be said again later

        Raises
        ------
        Transient
            A store or the broker is away.
        """
        entry = tagged(entry_of(draft), f"{tag} after {after}")
        if not await self.ledger.assign_next(entry, after):
            return None
        await self._send(draft, entry, after + 1)
        return after + 1

    async def last(self, draft: FrameAnnotated, tag: str) -> int:
        """Publish after whatever is there."""
        entry = tagged(entry_of(draft), tag)
        (revision,) = await self.ledger.assign([entry])
        await self._send(draft, entry, revision)
        return revision

    async def _send(self, draft: FrameAnnotated, entry: Entry, revision: int) -> None:
        if await self.ledger.published([entry]):
            return
        await self.outbox.publish([draft.model_copy(update={"revision": revision})])
        await self.ledger.confirm([entry])
        metrics.FRAMES_INGESTED.labels(GROUND_TRUTH.name, self.way).inc()
        log.info("correction_published", frame_id=draft.frame_id, revision=revision)


@dataclass(frozen=True)
class HeldRelease:
    """Sends held corrections on their way once everything that they ask is answered."""

    held: MongoHeldCorrections
    publisher: CorrectionPublisher

    async def release(self) -> int:
        """How many were settled. Interrupted anywhere, the next call goes on.

        Raises
        ------
        Transient
            A store or the broker is away.
        """
        waiting = await self.held.waiting()
        answers = await self.held.answers() if waiting else {}
        left = [
            correction for correction in waiting if not await self._settled(correction, answers)
        ]
        for question in Question:
            count = sum(correction.question is question for correction in left)
            metrics.HELD_CORRECTIONS.labels(question.value).set(count)
        return len(waiting) - len(left)

    async def _settled(self, held: HeldCorrection, answers: Mapping[str, LabelAnswer]) -> bool:
        version = counting(held)
        if version is None:
            if held.chosen is None:
                return False
            await self.held.settle(held.held_id, HeldOutcome.DROPPED)
            return True
        if open_labels(held, answers):
            return False
        draft = answered(version, answers)
        revision = await self._published(held, draft)
        if revision is None:
            await self.held.ask_again(held.held_id, Question.OVERTAKEN)
            return False
        await self.held.settle(held.held_id, HeldOutcome.PUBLISHED, revision)
        return True

    async def _published(self, held: HeldCorrection, draft: FrameAnnotated) -> int | None:
        if held.after is None:
            return await self.publisher.last(draft, held.tag)
        if held.question is Question.OVERTAKEN:  # and somebody has said that it counts anyway
            return await self.publisher.last(draft, held.held_id)
        return await self.publisher.next(draft, held.after, held.held_id)

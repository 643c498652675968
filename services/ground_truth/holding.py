"""Holds corrections that raise a question, and publishes them once it is answered."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from services.contracts.events import FrameAnnotated
from services.contracts.identity import Category
from services.domain.ports.categories import Categories
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldCorrections,
    HeldOutcome,
    LabelAnswer,
    Question,
)
from services.domain.ports.ledger import RevisionLedger
from services.ground_truth.answers import answered, counting, held_id_of, labels_of, open_labels
from services.ground_truth.drafts import entry_of, tagged, truth_subject
from services.ground_truth.publishing import Accepted, RevisionPublisher, Submission
from services.runtime.clock import Clock
from services.runtime.observability import metrics


@dataclass(frozen=True)
class IncomingCorrection:
    """One frame's correction as it was submitted.

    Attributes
    ----------
    versions : one, or one per annotator if they disagree
    origin : the source of the correction, in words for reviewers
    tag : distinguishes it from an equal correction that was submitted earlier
    """

    versions: Sequence[FrameAnnotated]
    origin: str
    tag: str = ""


@dataclass(frozen=True)
class CorrectionGate:
    """Decides whether a correction can be published, or is held until its question is answered."""

    held: HeldCorrections
    categories: Categories
    ledger: RevisionLedger
    clock: Clock

    async def judged(
        self, corrections: Sequence[IncomingCorrection]
    ) -> list[FrameAnnotated | HeldCorrection]:
        """Each correction ready to be published, or as it is held; stores the held ones durably.

        One that was held before may be settled: its outcome tells.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        unknown, answers = await self.understood(
            labels_of([version for correction in corrections for version in correction.versions])
        )
        judged: list[FrameAnnotated | HeldCorrection] = []
        for correction in corrections:
            question = question_of(correction.versions, unknown)
            if question is None:
                judged.append(answered(correction.versions[0], answers))
                continue
            held = self.question(
                question, correction.versions, unknown, None, correction.origin, correction.tag
            )
            judged.append(held)
        holding = [item for item in judged if isinstance(item, HeldCorrection)]
        held_ones = iter(await self.held.hold(await self._following_latest(holding)))
        await self._supersede(corrections, judged)
        return [next(held_ones) if isinstance(item, HeldCorrection) else item for item in judged]

    async def _supersede(
        self,
        corrections: Sequence[IncomingCorrection],
        judged: Sequence[FrameAnnotated | HeldCorrection],
    ) -> None:
        """Supersede what waits for frames of which the last correction passes, and is new."""
        last = {truth.frame_id: at for at, truth in enumerate(judged)}
        entries = {
            frame_id: tagged(entry_of(truth), corrections[at].tag)
            for frame_id, at in last.items()
            if isinstance(truth := judged[at], FrameAnnotated)
        }
        # A file that is imported again is older than what waits.
        published = await self.ledger.published(entries.values())
        await self.held.supersede([f for f, entry in entries.items() if entry not in published])

    async def _following_latest(self, held: Sequence[HeldCorrection]) -> list[HeldCorrection]:
        # Noted now: what is published until an answer comes is newer than its correction.
        latest = await self.ledger.latest({truth_subject(item.frame_id) for item in held})
        return [replace(item, latest=latest.get(truth_subject(item.frame_id), 0)) for item in held]

    async def understood(
        self, labels: Collection[Category]
    ) -> tuple[set[Category], Mapping[str, LabelAnswer]]:
        """The labels that are neither known nor answered, and the answers for the others."""
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
        """Build the held correction for a question."""
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
    """The question that blocks publishing; None if there is none."""
    if len(versions) > 1:
        return Question.ANNOTATORS_DISAGREE
    return Question.UNKNOWN_CATEGORY if labels_of(versions) & set(unknown) else None


@dataclass(frozen=True)
class HeldRelease:
    """Publishes or drops held corrections once all their questions are answered."""

    held: HeldCorrections
    publisher: RevisionPublisher

    async def release(self) -> int:
        """Settle all answered corrections; returns how many. After an interruption, call it again.

        Raises
        ------
        Transient
            A store or the broker is down.
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
        """Its revision; None if the ground truth has changed meanwhile."""
        # Where it follows the latest revision, a repeat of it must be recognised by its content.
        submission = Submission(draft, held.tag if held.after is None else held.held_id)
        accepted: Accepted | None
        if held.question is Question.OVERTAKEN:  # a reviewer has decided that it counts anyway
            (accepted,) = await self.publisher.publish([submission])
        elif held.after is not None:
            accepted = await self.publisher.publish_next(draft, held.after, held.held_id)
        elif held.latest is not None:
            accepted = await self.publisher.publish_unless_newer(submission, held.latest)
        else:
            (accepted,) = await self.publisher.publish([submission])
        return accepted.revision if accepted else None

"""Corrections that raise a question are held, and published once it is answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from services.contracts.errors import BrokerUnavailable
from services.contracts.events import FrameAnnotated
from services.contracts.identity import Category, FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Meaning,
    Question,
    VersionChoice,
)
from services.ground_truth.answers import NONE_OF_THEM
from services.ground_truth.holding import (
    CorrectionGate,
    HeldRelease,
    IncomingCorrection,
    question_of,
)
from services.ground_truth.publishing import RevisionPublisher, Submission
from tests.fakes.categories import InMemoryCategories
from tests.fakes.clock import FakeClock
from tests.fakes.held_corrections import InMemoryHeldCorrections
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.samples import annotation, frame_annotated

FIRST = FrameId("f1")
ORIGINAL = frame_annotated()


def truth(*labels: str, frame_id: str = FIRST) -> FrameAnnotated:
    return frame_annotated(*map(annotation, labels), frame_id=frame_id)


def incoming(*versions: FrameAnnotated, tag: str = "") -> IncomingCorrection:
    return IncomingCorrection(versions, "file:1", tag)


@dataclass(frozen=True)
class Corrections:
    """The gate and the release on fakes; `stop` and `yield` are known categories."""

    clock: FakeClock = field(default_factory=FakeClock)
    held: InMemoryHeldCorrections = field(default_factory=InMemoryHeldCorrections)
    ledger: InMemoryLedger = field(default_factory=InMemoryLedger)
    outbox: InMemoryOutbox = field(default_factory=InMemoryOutbox)

    @property
    def gate(self) -> CorrectionGate:
        known = InMemoryCategories([Category("stop")], [Category("yield")])
        return CorrectionGate(self.held, known, self.ledger, self.clock)

    @property
    def publisher(self) -> RevisionPublisher:
        return RevisionPublisher(self.ledger, self.outbox, "answer")

    async def judge(
        self, *corrections: IncomingCorrection
    ) -> Sequence[FrameAnnotated | HeldCorrection]:
        return await self.gate.judged(corrections)

    async def hold(self, correction: IncomingCorrection) -> HeldCorrection:
        (held,) = await self.judge(correction)
        assert isinstance(held, HeldCorrection)
        return held

    async def answer(self, label: str, meaning: Meaning, category: str | None = None) -> None:
        named = Category(category) if category else None
        answer = LabelAnswer(label, 1, meaning, named, "Ana", "token", self.clock.now())
        assert await self.held.answer(answer)

    async def choose(self, held: HeldCorrection, chosen: int) -> None:
        found = await self.held.find(held.held_id)
        assert found is not None
        at = self.clock.now()
        choice = VersionChoice(held.held_id, found.question, chosen, "Ana", "token", at)
        assert await self.held.choose(choice)

    async def release(self) -> int:
        return await HeldRelease(self.held, self.publisher).release()

    async def outcome(self, held: HeldCorrection) -> tuple[HeldOutcome, int | None]:
        found = await self.held.find(held.held_id)
        assert found is not None
        return found.outcome, found.revision

    @property
    def published(self) -> list[tuple[int, list[str]]]:
        return [
            (event.revision, [item.category for item in event.annotations])
            for event in self.outbox.published
            if isinstance(event, FrameAnnotated)
        ]


@pytest.fixture
def corrections() -> Corrections:
    return Corrections()


def test_disagreement_is_asked_before_an_unknown_label() -> None:
    one, two = truth("stop"), truth("stp")

    assert question_of([one, two], {Category("stp")}) is Question.ANNOTATORS_DISAGREE
    assert question_of([two], {Category("stp")}) is Question.UNKNOWN_CATEGORY
    assert question_of([one], {Category("stp")}) is None


async def test_known_labels_pass_and_unknown_ones_are_held(corrections: Corrections) -> None:
    passing, held = await corrections.judge(
        incoming(truth("stop", "yield")), incoming(truth("stop", "stp", frame_id="f2"), tag="t 1")
    )

    assert passing == truth("stop", "yield")
    assert isinstance(held, HeldCorrection)
    assert held == HeldCorrection(
        held_id=held.held_id,
        frame_id=FrameId("f2"),
        question=Question.UNKNOWN_CATEGORY,
        versions=(truth("stop", "stp", frame_id="f2"),),
        unknown=(Category("stp"),),
        after=None,
        origin="file:1",
        held_at=corrections.clock.now(),
        tag="t 1",
        latest=0,
    )
    assert await corrections.held.waiting() == [held]


async def test_an_answered_label_passes_as_what_it_means(corrections: Corrections) -> None:
    await corrections.answer("stp", Meaning.SAME, "stop")

    assert await corrections.judge(incoming(truth("stp"))) == [truth("stop")]


async def test_a_passing_correction_supersedes_what_waits_for_its_frame(
    corrections: Corrections,
) -> None:
    held = await corrections.hold(incoming(truth("stp")))
    other = await corrections.hold(incoming(truth("stp", frame_id="f2")))

    await corrections.judge(incoming(truth("stop")))

    assert (await corrections.outcome(held))[0] is HeldOutcome.SUPERSEDED
    assert (await corrections.outcome(other))[0] is HeldOutcome.WAITING


async def test_of_two_corrections_of_a_frame_the_last_one_decides(corrections: Corrections) -> None:
    """What passes first must not supersede what is held after it."""
    _, held = await corrections.judge(incoming(truth("stop")), incoming(truth("stp")))

    assert isinstance(held, HeldCorrection)
    assert (await corrections.outcome(held))[0] is HeldOutcome.WAITING

    await corrections.judge(incoming(truth("stp")), incoming(truth("stop")))
    assert (await corrections.outcome(held))[0] is HeldOutcome.SUPERSEDED


async def test_a_held_correction_waits_until_every_label_has_an_answer(
    corrections: Corrections,
) -> None:
    held = await corrections.hold(incoming(truth("stp", "yeild", "stop")))

    assert await corrections.release() == 0
    await corrections.answer("stp", Meaning.SAME, "stop")
    assert await corrections.release() == 0
    await corrections.answer("yeild", Meaning.NOTHING)
    assert await corrections.release() == 1

    assert corrections.published == [(1, ["stop", "stop"])]
    assert await corrections.outcome(held) == (HeldOutcome.PUBLISHED, 1)
    assert await corrections.release() == 0


async def test_the_chosen_version_is_published(corrections: Corrections) -> None:
    held = await corrections.hold(incoming(truth("stop"), truth("yield")))

    assert await corrections.release() == 0
    await corrections.choose(held, 1)
    assert await corrections.release() == 1

    assert corrections.published == [(1, ["yield"])]


async def test_a_correction_of_which_no_version_counts_is_dropped(corrections: Corrections) -> None:
    held = await corrections.hold(incoming(truth("stop"), truth("yield")))
    await corrections.choose(held, NONE_OF_THEM)

    assert await corrections.release() == 1
    assert corrections.published == []
    assert await corrections.outcome(held) == (HeldOutcome.DROPPED, None)


async def hold_after(corrections: Corrections, after: int) -> HeldCorrection:
    """A disagreement of annotators who received revision `after`."""
    versions = [truth("stop"), truth("yield")]
    held = corrections.gate.question(Question.ANNOTATORS_DISAGREE, versions, set(), after, "task 1")
    await corrections.held.hold([held])
    return held


async def test_a_correction_of_a_revision_becomes_the_next_one(corrections: Corrections) -> None:
    await corrections.publisher.publish([Submission(ORIGINAL)])
    held = await hold_after(corrections, after=1)
    await corrections.choose(held, 0)

    assert await corrections.release() == 1
    assert corrections.published == [(1, []), (2, ["stop"])]
    assert await corrections.outcome(held) == (HeldOutcome.PUBLISHED, 2)


async def test_an_overtaken_correction_asks_again_and_follows_the_latest_if_it_counts(
    corrections: Corrections,
) -> None:
    await corrections.publisher.publish([Submission(ORIGINAL), Submission(truth("yield"))])
    held = await hold_after(corrections, after=1)
    await corrections.choose(held, 0)

    assert await corrections.release() == 0
    (waiting,) = await corrections.held.waiting()
    assert (waiting.question, waiting.chosen) == (Question.OVERTAKEN, None)
    await corrections.choose(held, 0)
    assert await corrections.release() == 1
    assert corrections.published[-1] == (3, ["stop"])
    assert await corrections.outcome(held) == (HeldOutcome.PUBLISHED, 3)


async def test_an_overtaken_correction_back_to_an_older_content_is_a_new_revision(
    corrections: Corrections,
) -> None:
    await corrections.publisher.publish([Submission(truth("stop")), Submission(truth("yield"))])
    held = await hold_after(corrections, after=1)
    await corrections.choose(held, 0)
    await corrections.release()
    await corrections.choose(held, 0)
    await corrections.release()

    assert corrections.published[-1] == (3, ["stop"])


async def test_a_held_correction_never_replaces_what_was_published_since_without_asking(
    corrections: Corrections,
) -> None:
    await corrections.publisher.publish([Submission(ORIGINAL)])
    held = await corrections.hold(incoming(truth("stp", "yield")))
    await corrections.publisher.publish_next(truth("yield"), after=1)
    await corrections.answer("stp", Meaning.SAME, "stop")

    assert await corrections.release() == 0
    assert corrections.published == [(1, []), (2, ["yield"])]
    (waiting,) = await corrections.held.waiting()
    assert (waiting.held_id, waiting.question) == (held.held_id, Question.OVERTAKEN)

    await corrections.choose(held, 0)
    assert await corrections.release() == 1
    assert corrections.published[-1] == (3, ["stop", "yield"])
    # The same file, imported again, is recognised.
    (again,) = await corrections.judge(incoming(truth("stp", "yield")))
    assert isinstance(again, FrameAnnotated)
    (accepted,) = await corrections.publisher.publish([Submission(again)])
    assert accepted.revision == 3


async def test_a_correction_that_an_older_version_held_follows_the_latest_revision(
    corrections: Corrections,
) -> None:
    held = corrections.gate.question(
        Question.UNKNOWN_CATEGORY, [truth("stp")], {Category("stp")}, None, "file"
    )
    await corrections.held.hold([held])
    await corrections.publisher.publish([Submission(ORIGINAL)])
    await corrections.answer("stp", Meaning.NEW)

    assert await corrections.release() == 1
    assert corrections.published == [(1, []), (2, ["stp"])]


async def test_a_release_that_is_interrupted_publishes_the_same_revision_again(
    corrections: Corrections,
) -> None:
    held = await corrections.hold(incoming(truth("stp"), tag="http 1"))
    await corrections.answer("stp", Meaning.NEW)
    corrections.outbox.failures = [BrokerUnavailable("away")]
    with pytest.raises(BrokerUnavailable):
        await corrections.release()
    assert (await corrections.outcome(held))[0] is HeldOutcome.WAITING

    await corrections.publisher.publish([Submission(truth("stop"))])
    assert await corrections.release() == 1

    assert sorted(corrections.published) == [(1, ["stp"]), (2, ["stop"])]


async def test_a_repeat_of_an_earlier_correction_is_a_revision_of_its_own(
    corrections: Corrections,
) -> None:
    await corrections.publisher.publish([Submission(truth("kiosk")), Submission(truth("stop"))])
    await corrections.hold(incoming(truth("kiosk"), tag="http 1"))
    await corrections.answer("kiosk", Meaning.NEW)

    assert await corrections.release() == 1
    assert corrections.published[-1] == (3, ["kiosk"])


async def test_waiting_corrections_are_counted_by_question(corrections: Corrections) -> None:
    await corrections.hold(incoming(truth("stp")))
    await corrections.hold(incoming(truth("stp", frame_id="f2")))
    disputed = await corrections.hold(incoming(truth("stop", frame_id="f3"), truth(frame_id="f3")))
    await corrections.release()
    assert [waiting(question) for question in Question] == [2, 1, 0]

    await corrections.choose(disputed, 0)
    await corrections.answer("stp", Meaning.NEW)
    assert await corrections.release() == 3
    assert [waiting(question) for question in Question] == [0, 0, 0]


def waiting(question: Question) -> float | None:
    return REGISTRY.get_sample_value("gazeloop_held_corrections", {"reason": question.value})

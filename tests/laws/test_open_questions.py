from dataclasses import replace
from datetime import timedelta

import pytest

from services.annotation.ports.open_questions import OpenChoice, OpenLabel, OpenQuestions
from services.annotation.stores.open_questions_mongo import MongoOpenQuestions
from services.contracts.identity import Category, FrameId
from services.domain.ports.held_corrections import HeldCorrection, HeldOutcome, Question
from services.runtime.stores.held_corrections_mongo import MongoHeldCorrections
from services.runtime.stores.mongo import Database
from tests.laws.test_held_corrections import answer, choice, correction
from tests.samples import CAPTURED_AT as NOW


@pytest.fixture
def held(empty_database: Database) -> MongoHeldCorrections:
    return MongoHeldCorrections(empty_database)


@pytest.fixture
def questions(empty_database: Database) -> OpenQuestions:
    return MongoOpenQuestions(empty_database)


def labelled(name: str, *labels: str, minute: int = 0) -> HeldCorrection:
    """A correction of a frame of its own, with these unknown labels."""
    unknown = tuple(map(Category, labels))
    return correction(name, minute, frame_id=FrameId(name), unknown=unknown)


def disputed(name: str, minute: int = 0) -> HeldCorrection:
    return replace(labelled(name, minute=minute), question=Question.ANNOTATORS_DISAGREE)


async def test_without_corrections_nothing_is_open(questions: OpenQuestions) -> None:
    assert await questions.count() == 0
    assert await questions.labels() == []
    assert await questions.choices(10) == []


async def test_a_label_is_one_question_however_many_corrections_have_it(
    questions: OpenQuestions, held: MongoHeldCorrections
) -> None:
    await held.hold([labelled("a", "stp", minute=5), labelled("b", "stp", "yeild", minute=2)])
    await held.hold([disputed("c"), labelled("gone", "kiosk")])
    await held.settle("gone", HeldOutcome.DROPPED)

    assert await questions.count() == 3
    assert await questions.labels() == [
        OpenLabel("stp", 2, NOW + timedelta(minutes=2)),
        OpenLabel("yeild", 1, NOW + timedelta(minutes=2)),
    ]


async def test_an_answered_label_is_no_question_any_more(
    questions: OpenQuestions, held: MongoHeldCorrections
) -> None:
    await held.hold([labelled("a", "stp", "yeild")])
    await held.answer(answer("stp"))

    assert await questions.count() == 1
    assert [label.label for label in await questions.labels()] == ["yeild"]


async def test_choices_are_open_until_they_are_decided_the_oldest_first(
    questions: OpenQuestions, held: MongoHeldCorrections
) -> None:
    await held.hold([disputed("a", 5), disputed("b", 1), disputed("c", 9), labelled("d", "stp")])
    await held.choose(replace(choice("c"), question=Question.ANNOTATORS_DISAGREE))

    assert [found.held_id for found in await questions.choices(10)] == ["b", "a"]
    (first,) = await questions.choices(1)
    assert first == OpenChoice(
        held_id="b",
        frame_id=FrameId("b"),
        question=Question.ANNOTATORS_DISAGREE,
        annotators=("unknown", "unknown"),
        origin="file:b",
        since=NOW + timedelta(minutes=1),
    )
    assert await questions.count() == 3


async def test_waiting_corrections_with_a_label_are_the_oldest_first(
    questions: OpenQuestions, held: MongoHeldCorrections
) -> None:
    corrections = [labelled(name, "stp", minute=minute) for name, minute in (("a", 3), ("b", 1))]
    await held.hold([*corrections, labelled("c", "yeild"), labelled("gone", "stp")])
    await held.settle("gone", HeldOutcome.PUBLISHED)

    assert await questions.naming("stp", 10) == [corrections[1], corrections[0]]
    assert await questions.naming("stp", 1) == [corrections[1]]


async def test_the_latest_answers_come_first(
    questions: OpenQuestions, held: MongoHeldCorrections
) -> None:
    answers = [
        replace(answer(label), at=NOW + timedelta(minutes=minute))
        for label, minute in (("a", 3), ("b", 9), ("c", 1))
    ]
    for given in answers:
        await held.answer(given)

    assert [given.label for given in await questions.lately_answered(2)] == ["b", "a"]

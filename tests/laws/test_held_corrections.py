from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from services.contracts.identity import Category, FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldCorrections,
    HeldOutcome,
    LabelAnswer,
    Meaning,
    Question,
    VersionChoice,
)
from services.runtime.stores.held_corrections_mongo import MongoHeldCorrections
from services.runtime.stores.mongo import connect
from tests.fakes.held_corrections import InMemoryHeldCorrections
from tests.samples import CAPTURED_AT as NOW
from tests.samples import annotation, frame_annotated

FIRST = FrameId("f1")


def correction(held_id: str = "a", minute: int = 0, **changes: object) -> HeldCorrection:
    """A correction of frame f1 with an unknown label, which follows the latest revision."""
    held = HeldCorrection(
        held_id=held_id,
        frame_id=FIRST,
        question=Question.UNKNOWN_CATEGORY,
        versions=(frame_annotated(annotation("stp")), frame_annotated()),
        unknown=(Category("stp"),),
        after=None,
        origin=f"file:{held_id}",
        held_at=NOW + timedelta(minutes=minute),
        tag="http 1",
        latest=2,
    )
    return replace(held, **changes)  # type: ignore[arg-type]  # fields of the dataclass


def choice(held_id: str = "a", chosen: int = 1, minute: int = 5) -> VersionChoice:
    at = NOW + timedelta(minutes=minute)
    return VersionChoice(held_id, Question.UNKNOWN_CATEGORY, chosen, "Ana", "token", at)


def answer(label: str = "stp", version: int = 1, category: str = "stop") -> LabelAnswer:
    return LabelAnswer(label, version, Meaning.SAME, Category(category), "Ana", "token", NOW)


@pytest.fixture(params=["in_memory", "mongod"])
async def held(request: pytest.FixtureRequest) -> AsyncIterator[HeldCorrections]:
    if request.param == "in_memory":
        yield InMemoryHeldCorrections()
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    yield MongoHeldCorrections(database)
    await database.client.drop_database(database.name)
    await database.client.close()


async def outcomes(held: HeldCorrections, *held_ids: str) -> list[HeldOutcome | None]:
    found = [await held.find(held_id) for held_id in held_ids]
    return [correction.outcome if correction else None for correction in found]


async def test_a_correction_is_found_as_it_was_held(held: HeldCorrections) -> None:
    await held.hold([correction()])

    assert await held.find("a") == correction()
    assert await held.find("b") is None
    assert await held.waiting() == [correction()]


async def test_holding_again_keeps_the_decision(held: HeldCorrections) -> None:
    await held.hold([correction()])
    await held.choose(choice())
    (again,) = await held.hold([correction(minute=9)])

    assert again.outcome is HeldOutcome.WAITING
    (waiting,) = await held.waiting()
    assert (waiting.chosen, waiting.held_at) == (1, NOW)


async def test_holding_what_is_settled_again_tells_so_and_replaces_nothing(
    held: HeldCorrections,
) -> None:
    await held.hold([correction("old")])
    await held.settle("old", HeldOutcome.DROPPED)
    (new,) = await held.hold([correction("new")])
    (again,) = await held.hold([correction("old")])

    assert (new.outcome, again.outcome) == (HeldOutcome.WAITING, HeldOutcome.DROPPED)
    assert [waiting.held_id for waiting in await held.waiting()] == ["new"]


async def test_the_oldest_wait_first_and_a_limit_takes_them(held: HeldCorrections) -> None:
    for minute, name in enumerate("cab"):
        await held.hold([correction(name, minute, frame_id=FrameId(name))])

    assert [one.held_id for one in await held.waiting()] == ["c", "a", "b"]
    assert [one.held_id for one in await held.waiting(limit=2)] == ["c", "a"]


async def test_a_newer_correction_supersedes_waiting_ones_of_its_frame(
    held: HeldCorrections,
) -> None:
    await held.hold([correction("a"), correction("other", frame_id=FrameId("f2"))])
    await held.hold([correction("settled")])
    await held.settle("settled", HeldOutcome.DROPPED)
    await held.hold([correction("edited", after=3), correction("b")])

    found = await outcomes(held, "a", "other", "settled", "edited", "b")
    waiting = HeldOutcome.WAITING
    assert found == [HeldOutcome.SUPERSEDED, waiting, HeldOutcome.DROPPED, waiting, waiting]


async def test_a_correction_of_one_revision_supersedes_what_the_same_place_held_before(
    held: HeldCorrections,
) -> None:
    waiting, superseded = HeldOutcome.WAITING, HeldOutcome.SUPERSEDED
    await held.hold([correction("latest", origin="file"), correction("a", after=1, origin="task")])
    await held.hold([correction("b", after=1, origin="task")])
    await held.hold([correction("far", after=1, origin="task", frame_id=FrameId("f2"))])

    assert await outcomes(held, "latest", "a", "b", "far") == [
        waiting,
        superseded,
        waiting,
        waiting,
    ]
    await held.hold([correction("newest", origin="task")])
    assert await outcomes(held, "latest", "b", "newest") == [superseded, waiting, waiting]


async def test_newer_ground_truth_supersedes_what_would_follow_the_latest_revision(
    held: HeldCorrections,
) -> None:
    await held.hold([correction("a"), correction("after", after=1)])
    await held.hold([correction("other", frame_id=FrameId("f2"))])
    await held.supersede([FIRST, FrameId("f3")])
    await held.supersede([])

    assert await outcomes(held, "a", "after", "other") == [
        HeldOutcome.SUPERSEDED,
        HeldOutcome.WAITING,
        HeldOutcome.WAITING,
    ]


async def test_what_the_same_place_published_supersedes_what_it_held_of_a_revision(
    held: HeldCorrections,
) -> None:
    await held.hold([correction("task", after=1, origin="task"), correction("latest")])
    await held.hold([correction("elsewhere", after=1, origin="another task")])
    await held.hold([correction("far", after=1, origin="task", frame_id=FrameId("f2"))])
    await held.supersede_from(FIRST, "task")

    waiting = HeldOutcome.WAITING
    found = await outcomes(held, "task", "latest", "elsewhere", "far")
    assert found == [HeldOutcome.SUPERSEDED, waiting, waiting, waiting]


async def test_of_two_decisions_the_first_counts(held: HeldCorrections) -> None:
    await held.hold([correction()])

    assert await held.choose(choice(chosen=0))
    assert not await held.choose(choice(chosen=1))
    assert not await held.choose(choice("unknown"))
    (waiting,) = await held.waiting()
    decision = waiting.chosen, waiting.by, waiting.token_id, waiting.decided_at
    assert decision == (0, "Ana", "token", NOW + timedelta(minutes=5))


async def test_a_decision_on_another_question_is_refused(held: HeldCorrections) -> None:
    await held.hold([correction()])

    assert not await held.choose(replace(choice(), question=Question.OVERTAKEN))


async def test_a_settled_correction_takes_no_decision_and_does_not_wait(
    held: HeldCorrections,
) -> None:
    await held.hold([correction()])
    await held.settle("a", HeldOutcome.PUBLISHED, revision=4)

    assert not await held.choose(choice())
    assert await held.waiting() == []
    found = await held.find("a")
    assert found is not None
    assert (found.outcome, found.revision, found.chosen) == (HeldOutcome.PUBLISHED, 4, None)


async def test_another_question_needs_another_decision(held: HeldCorrections) -> None:
    await held.hold([correction()])
    await held.choose(choice())
    await held.ask_again("a", Question.OVERTAKEN)

    (waiting,) = await held.waiting()
    assert (waiting.question, waiting.chosen) == (Question.OVERTAKEN, None)
    assert await held.choose(replace(choice(chosen=-1), question=Question.OVERTAKEN))


async def test_nothing_more_is_asked_of_a_settled_correction(held: HeldCorrections) -> None:
    await held.hold([correction()])
    await held.choose(choice())
    await held.settle("a", HeldOutcome.PUBLISHED, revision=4)
    await held.ask_again("a", Question.OVERTAKEN)

    found = await held.find("a")
    assert found is not None
    assert (found.question, found.chosen) == (Question.UNKNOWN_CATEGORY, 1)


async def test_recent_ones_have_a_decision_and_the_latest_is_first(held: HeldCorrections) -> None:
    for minute, name in enumerate("abcd"):
        await held.hold([correction(name, frame_id=FrameId(name))])
        if name != "c":
            await held.choose(choice(name, minute=minute))

    assert [one.held_id for one in await held.recent(2)] == ["d", "b"]
    assert [one.held_id for one in await held.recent(9)] == ["d", "b", "a"]


async def test_of_two_answers_with_one_version_the_first_counts(held: HeldCorrections) -> None:
    assert await held.answer(answer())
    assert not await held.answer(answer(category="yield"))

    assert await held.answers() == {"stp": answer()}


async def test_the_latest_answer_for_each_label_counts(held: HeldCorrections) -> None:
    for version in range(1, 12):
        assert await held.answer(answer(version=version, category=f"sign {version}"))
    await held.answer(answer("yeild", category="yield"))

    assert (await held.answers())["stp"] == answer(version=11, category="sign 11")
    assert set(await held.answers()) == {"stp", "yeild"}
    assert set(await held.answers(["yeild", "none"])) == {"yeild"}
    assert await held.answers([]) == {}

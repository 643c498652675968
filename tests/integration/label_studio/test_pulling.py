"""What annotators submit in a real Label Studio becomes ground truth, or is named."""

from collections import Counter
from typing import Any

import pytest

from services.annotation.label_studio.pulling import Pulled
from services.annotation.ports.annotation_tasks import TaskStatus
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import ToolUnavailable
from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Category, FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    LabelAnswer,
    Meaning,
    Question,
    VersionChoice,
)
from services.formats.adjustments import Adjustment
from services.ground_truth.holding import HeldRelease
from services.ground_truth.publishing import GroundTruthPublisher
from tests.integration.label_studio.conftest import Desk
from tests.integration.label_studio.server import EMAIL
from tests.review_world import HEIGHT, OTHER, REGION, STOP, WIDTH

FRAME = FrameId("h000-0")


def box(x: float = 10.0, label: str = "stop sign", **more: Any) -> dict[str, Any]:
    """A rectangle of 20 by 25 percent, as Label Studio's pages send it."""
    value = {"x": x, "y": 20.0, "width": 20.0, "height": 25.0, "rotation": 0}
    return {
        "id": f"b{x}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": {**value, "rectanglelabels": [label], **more},
    }


@pytest.fixture
async def task(desk: Desk) -> int:
    """The first frame's task, pushed."""
    await desk.parts.pusher.push()
    return int(desk.task_of(FRAME)["id"])


async def test_what_is_submitted_is_the_next_revision_with_who_and_how_long(
    desk: Desk, task: int
) -> None:
    desk.server.submit(task, [box()])

    assert await desk.parts.puller.pull() == Pulled(published=1)
    (correction,) = desk.corrections
    assert correction == FrameAnnotated(
        frame_id=FRAME,
        revision=2,
        annotated_by=EMAIL,
        annotation_source="reannotation",
        lead_time_s=12.5,
        annotations=(Annotation(category=STOP, bbox=(16.0, 24.0, 32.0, 30.0)),),
    )
    assert await desk.parts.puller.pull() == Pulled()


async def test_what_is_filled_in_and_submitted_unchanged_says_the_same_to_the_pixel(
    desk: Desk, task: int
) -> None:
    (prediction,) = desk.task_of(FRAME)["predictions"]
    desk.server.submit(task, prediction["result"])

    await desk.parts.puller.pull()

    (correction,) = desk.corrections
    boxes: list[tuple[Category, object]] = [
        (each.category, each.bbox) for each in correction.annotations
    ]
    assert boxes == [
        (STOP, pytest.approx(REGION)),
        (Category("yield"), pytest.approx(OTHER)),
        (STOP, pytest.approx(REGION)),
    ]


async def test_nothing_on_it_is_an_answer_too(desk: Desk, task: int) -> None:
    desk.server.submit(task, [])

    assert (await desk.parts.puller.pull()).published == 1
    assert desk.corrections[0].annotations == ()


async def test_a_changed_mind_is_one_more_revision_also_back_to_what_was_said_before(
    desk: Desk, task: int
) -> None:
    annotation = desk.server.submit(task, [box()])
    await desk.parts.puller.pull()
    desk.server.update(annotation, [box(label="yield")])
    await desk.parts.puller.pull()
    desk.server.update(annotation, [box()])
    await desk.parts.puller.pull()

    said = [(each.revision, each.annotations[0].category) for each in desk.corrections]
    assert said == [(2, "stop sign"), (3, "yield"), (4, "stop sign")]


async def test_a_pull_that_is_cut_off_before_it_is_noted_says_the_same_again(
    desk: Desk, task: int
) -> None:
    desk.server.submit(task, [box()])
    await desk.parts.puller.pull()
    await desk.stores.annotation_tasks.note(FRAME, read="", revision=None)

    await desk.parts.puller.pull()

    assert {each.revision for each in desk.corrections} == {2}


async def test_what_is_not_finished_is_counted_and_says_nothing(desk: Desk, task: int) -> None:
    desk.server.draft(task, [box()])
    desk.server.submit(int(desk.task_of("h000-1")["id"]), [], was_cancelled=True)

    assert await desk.parts.puller.pull() == Pulled(unfinished=1, skipped=1)
    assert desk.corrections == []
    counts = await desk.stores.annotation_tasks.counts()
    assert (counts[TaskStatus.STARTED], counts[TaskStatus.SKIPPED]) == (1, 1)


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        ({**box(), "image_rotation": 90}, "rotated_image"),
        (box(x=150.0), "box_outside_image"),
        (box(width=0.0), "box_without_area"),
    ],
)
async def test_a_box_that_is_none_is_a_dead_letter_and_its_task_says_so(
    desk: Desk, task: int, drawn: dict[str, Any], reason: str
) -> None:
    annotation = desk.server.submit(task, [drawn])

    pulled = await desk.parts.puller.pull()

    assert dict(pulled.refused) == {reason: 1}
    assert f"refused: {pulled.first_refusal}" == desk.task_of(FRAME)["data"]["gazeloop"]
    (letter,) = [each for each in desk.outbox.published if isinstance(each, DeadLettered)]
    assert letter.reason == reason
    assert b'"rectanglelabels"' in letter.original_value
    assert desk.task_of(FRAME)["data"]["gazeloop"].startswith("refused: ")
    assert await desk.parts.puller.pull() == Pulled()
    desk.server.update(annotation, [box()])
    assert (await desk.parts.puller.pull()).published == 1


async def test_what_hides_no_object_is_left_out_and_a_rotated_box_is_made_upright(
    desk: Desk, task: int
) -> None:
    weather = {
        "type": "choices",
        "from_name": "weather",
        "to_name": "image",
        "value": {"choices": ["rain"]},
    }
    desk.server.submit(task, [box(rotation=90), box(x=150.0), weather])

    pulled = await desk.parts.puller.pull()

    assert pulled == Pulled(
        published=1,
        left_out=Counter(box_outside_image=1),
        adjusted=Counter({Adjustment.ROTATED_BOX: 1, Adjustment.NO_SHAPE: 1}),
    )
    (letter,) = [each for each in desk.outbox.published if isinstance(each, DeadLettered)]
    assert letter.reason == "box_outside_image"
    (truth,) = desk.corrections
    assert len(truth.annotations) == 1


def choice(desk: Desk, held: HeldCorrection, chosen: int) -> VersionChoice:
    return VersionChoice(
        held.held_id, held.question, chosen, by="Cem", token_id="cem", at=desk.clock.now()
    )


async def test_a_correction_of_what_has_changed_meanwhile_is_held_and_not_published(
    desk: Desk, task: int
) -> None:
    publisher = GroundTruthPublisher(desk.stores.ledger, desk.outbox, "test")
    by_hand = FrameAnnotated(frame_id=FRAME, annotated_by="Ben", annotations=())
    assert await publisher.publish_next(by_hand, 1, "the review page")
    desk.server.submit(task, [box()])

    pulled = await desk.parts.puller.pull()

    assert dict(pulled.held) == {"overtaken": 1}
    (held,) = await desk.stores.held.waiting()
    release = HeldRelease(desk.stores.held, publisher)
    assert await release.release() == 0
    assert await desk.stores.held.choose(choice(desk, held, 0))
    assert await release.release() == 1
    assert [each.revision for each in desk.corrections] == [2, 3]


async def test_two_who_disagree_are_both_kept_until_somebody_says_who_is_right(
    desk: Desk, task: int
) -> None:
    desk.server.submit(task, [box()])
    desk.server.submit(task, [box(label="yield")])

    pulled = await desk.parts.puller.pull()

    assert dict(pulled.held) == {"annotators_disagree": 1}
    (held,) = await desk.stores.held.waiting()
    assert held.question is Question.ANNOTATORS_DISAGREE
    await desk.stores.held.choose(choice(desk, held, 1))
    publisher = GroundTruthPublisher(desk.stores.ledger, desk.outbox, "test")
    assert await HeldRelease(desk.stores.held, publisher).release() == 1
    assert desk.corrections[0].annotations[0].category == "yield"


async def test_an_unknown_label_is_held_until_somebody_says_what_it_means(
    desk: Desk, task: int
) -> None:
    desk.server.submit(task, [box(label="trafic sign"), box(x=60.0)])

    pulled = await desk.parts.puller.pull()

    assert dict(pulled.held) == {"unknown_category": 1}
    answer = LabelAnswer(
        "trafic sign", 1, Meaning.SAME, Category("yield"), "Cem", "t", desk.clock.now()
    )
    assert await desk.stores.held.answer(answer)
    publisher = GroundTruthPublisher(desk.stores.ledger, desk.outbox, "test")
    assert await HeldRelease(desk.stores.held, publisher).release() == 1
    (correction,) = desk.corrections
    assert [each.category for each in correction.annotations] == ["yield", "stop sign"]
    assert correction.lead_time_s == 12.5


async def test_what_is_submitted_and_deleted_again_is_counted_and_its_revision_stays(
    desk: Desk, task: int
) -> None:
    annotation = desk.server.submit(task, [box()])
    await desk.parts.puller.pull()
    desk.server.person.delete(f"/api/annotations/{annotation}/").raise_for_status()

    assert await desk.parts.puller.pull() == Pulled(unanswered=1)
    assert len(desk.corrections) == 1


async def test_a_broker_that_is_away_loses_nothing(desk: Desk, task: int) -> None:
    desk.server.submit(task, [box()])
    desk.outbox.failures.append(ToolUnavailable("the broker is away"))
    with pytest.raises(ToolUnavailable):
        await desk.parts.puller.pull()

    assert await desk.parts.puller.pull() == Pulled(published=1)


async def test_an_answered_task_is_left_when_nobody_asks_any_more(desk: Desk, task: int) -> None:
    desk.server.submit(task, [box()])
    await desk.parts.puller.pull()
    await desk.stores.annotation_tasks.touch([FRAME])

    assert (await desk.parts.pusher.push()).changed == 0
    assert desk.task_of(FRAME)["id"] == task

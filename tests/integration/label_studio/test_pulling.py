"""What annotators submit in a real Label Studio becomes ground truth, or is named."""

from collections import Counter
from typing import Any

import pytest

from services.annotation.label_studio import client
from services.annotation.label_studio.pulling import Pulled
from services.annotation.ports.annotation_tasks import TaskStatus
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import ToolUnavailable
from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Category, FrameId
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Meaning,
    Question,
    VersionChoice,
)
from services.formats.adjustments import Adjustment
from services.ground_truth.holding import HeldRelease
from services.ground_truth.publishing import RevisionPublisher
from tests.integration.label_studio.conftest import Studio
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
async def task(studio: Studio) -> int:
    """The first frame's task, pushed."""
    await studio.parts.pusher.push()
    return int(studio.task_of(FRAME)["id"])


async def test_what_is_submitted_is_the_next_revision_with_who_and_how_long(
    studio: Studio, task: int
) -> None:
    studio.server.submit(task, [box()])

    assert await studio.parts.puller.pull() == Pulled(published=1)
    (correction,) = studio.corrections
    assert correction == FrameAnnotated(
        frame_id=FRAME,
        revision=2,
        annotated_by=EMAIL,
        annotation_source="reannotation",
        lead_time_s=12.5,
        annotations=(Annotation(category=STOP, bbox=(16.0, 24.0, 32.0, 30.0)),),
    )
    assert await studio.parts.puller.pull() == Pulled()


async def test_what_is_filled_in_and_submitted_unchanged_says_the_same_to_the_pixel(
    studio: Studio, task: int
) -> None:
    (prediction,) = studio.task_of(FRAME)["predictions"]
    studio.server.submit(task, prediction["result"])

    await studio.parts.puller.pull()

    (correction,) = studio.corrections
    boxes: list[tuple[Category, object]] = [
        (annotation.category, annotation.bbox) for annotation in correction.annotations
    ]
    assert boxes == [
        (STOP, pytest.approx(REGION)),
        (Category("yield"), pytest.approx(OTHER)),
        (STOP, pytest.approx(REGION)),
    ]


async def test_nothing_on_it_is_an_answer_too(studio: Studio, task: int) -> None:
    studio.server.submit(task, [])

    assert (await studio.parts.puller.pull()).published == 1
    assert studio.corrections[0].annotations == ()


async def test_a_changed_mind_is_one_more_revision_also_back_to_what_was_said_before(
    studio: Studio, task: int
) -> None:
    annotation = studio.server.submit(task, [box()])
    await studio.parts.puller.pull()
    studio.server.update(annotation, [box(label="yield")])
    await studio.parts.puller.pull()
    studio.server.update(annotation, [box()])
    await studio.parts.puller.pull()

    found = [
        (correction.revision, correction.annotations[0].category)
        for correction in studio.corrections
    ]
    assert found == [(2, "stop sign"), (3, "yield"), (4, "stop sign")]


async def test_a_pull_that_is_cut_off_before_it_is_noted_says_the_same_again(
    studio: Studio, task: int
) -> None:
    studio.server.submit(task, [box()])
    await studio.parts.puller.pull()
    await studio.stores.annotation_tasks.note(FRAME, read="", revision=None)

    await studio.parts.puller.pull()

    assert {correction.revision for correction in studio.corrections} == {2}


async def test_what_is_not_finished_is_counted_and_says_nothing(studio: Studio, task: int) -> None:
    studio.server.draft(task, [box()])
    studio.server.submit(int(studio.task_of("h000-1")["id"]), [], was_cancelled=True)

    assert await studio.parts.puller.pull() == Pulled(unfinished=1, skipped=1)
    assert studio.corrections == []
    counts = await studio.stores.annotation_tasks.counts()
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
    studio: Studio, task: int, drawn: dict[str, Any], reason: str
) -> None:
    annotation = studio.server.submit(task, [drawn])

    pulled = await studio.parts.puller.pull()

    assert dict(pulled.refused) == {reason: 1}
    assert f"refused: {pulled.first_refusal}" == studio.task_of(FRAME)["data"]["gazeloop"]
    (letter,) = [item for item in studio.outbox.published if isinstance(item, DeadLettered)]
    assert letter.reason == reason
    assert b'"rectanglelabels"' in letter.original_value
    assert studio.task_of(FRAME)["data"]["gazeloop"].startswith("refused: ")
    assert await studio.parts.puller.pull() == Pulled()
    studio.server.update(annotation, [box()])
    assert (await studio.parts.puller.pull()).published == 1


async def test_what_hides_no_object_is_left_out_and_a_rotated_box_is_made_upright(
    studio: Studio, task: int
) -> None:
    weather = {
        "type": "choices",
        "from_name": "weather",
        "to_name": "image",
        "value": {"choices": ["rain"]},
    }
    studio.server.submit(task, [box(rotation=90), box(x=150.0), weather])

    pulled = await studio.parts.puller.pull()

    assert pulled == Pulled(
        published=1,
        left_out=Counter(box_outside_image=1),
        adjusted=Counter({Adjustment.ROTATED_BOX: 1, Adjustment.NO_SHAPE: 1}),
    )
    (letter,) = [item for item in studio.outbox.published if isinstance(item, DeadLettered)]
    assert letter.reason == "box_outside_image"
    (truth,) = studio.corrections
    assert len(truth.annotations) == 1


async def test_a_submission_is_read_though_others_change_their_place_meanwhile(
    studio: Studio, task: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAGE", 1)
    studio.server.submit(task, [box(x=150.0)])  # it is refused, and its task is changed
    studio.server.submit(int(studio.task_of("h000-1")["id"]), [box()])
    studio.server.submit(int(studio.task_of("h000-2")["id"]), [box()])
    studio.server.submit(int(studio.task_of("h000-3")["id"]), [box(x=150.0)])

    pulled = await studio.parts.puller.pull()

    assert (pulled.published, pulled.refused.total()) == (2, 2)


async def test_no_task_is_missed_where_another_is_deleted_meanwhile(
    studio: Studio, task: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAGE", 1)
    project = int(studio.server.project(studio.title)["id"])
    listed: list[int] = []

    async for found in studio.parts.tool.changed_since(project, ""):
        listed.append(int(found["id"]))
        if len(listed) == 2:
            studio.server.delete(listed[0])

    assert set(listed) == set(range(task, task + 4))


def choice(studio: Studio, held: HeldCorrection, chosen: int) -> VersionChoice:
    return VersionChoice(
        held.held_id, held.question, chosen, by="Cem", token_id="cem", at=studio.clock.now()
    )


async def test_a_correction_of_what_has_changed_meanwhile_is_held_and_not_published(
    studio: Studio, task: int
) -> None:
    publisher = RevisionPublisher(studio.stores.ledger, studio.outbox, "test")
    by_hand = FrameAnnotated(frame_id=FRAME, annotated_by="Ben", annotations=())
    assert await publisher.publish_next(by_hand, 1, "the review page")
    studio.server.submit(task, [box()])

    pulled = await studio.parts.puller.pull()

    assert dict(pulled.held) == {"overtaken": 1}
    (held,) = await studio.stores.held.waiting()
    release = HeldRelease(studio.stores.held, publisher)
    assert await release.release() == 0
    assert await studio.stores.held.choose(choice(studio, held, 0))
    assert await release.release() == 1
    assert [correction.revision for correction in studio.corrections] == [2, 3]


async def test_two_who_disagree_are_both_kept_until_somebody_says_who_is_right(
    studio: Studio, task: int
) -> None:
    studio.server.submit(task, [box()])
    studio.server.submit(task, [box(label="yield")])

    pulled = await studio.parts.puller.pull()

    assert dict(pulled.held) == {"annotators_disagree": 1}
    (held,) = await studio.stores.held.waiting()
    assert held.question is Question.ANNOTATORS_DISAGREE
    await studio.stores.held.choose(choice(studio, held, 1))
    publisher = RevisionPublisher(studio.stores.ledger, studio.outbox, "test")
    assert await HeldRelease(studio.stores.held, publisher).release() == 1
    assert studio.corrections[0].annotations[0].category == "yield"


async def test_an_unknown_label_is_held_until_somebody_says_what_it_means(
    studio: Studio, task: int
) -> None:
    studio.server.submit(task, [box(label="trafic sign"), box(x=60.0)])

    pulled = await studio.parts.puller.pull()

    assert dict(pulled.held) == {"unknown_category": 1}
    answer = LabelAnswer(
        "trafic sign", 1, Meaning.SAME, Category("yield"), "Cem", "t", studio.clock.now()
    )
    assert await studio.stores.held.answer(answer)
    publisher = RevisionPublisher(studio.stores.ledger, studio.outbox, "test")
    assert await HeldRelease(studio.stores.held, publisher).release() == 1
    (correction,) = studio.corrections
    assert [annotation.category for annotation in correction.annotations] == ["yield", "stop sign"]
    assert correction.lead_time_s == 12.5


async def test_nobody_is_asked_about_a_submission_that_its_annotator_has_corrected(
    studio: Studio, task: int
) -> None:
    submitted = studio.server.submit(task, [box(label="trafic sign")])
    assert dict((await studio.parts.puller.pull()).held) == {"unknown_category": 1}
    (held,) = await studio.stores.held.waiting()

    studio.server.update(submitted, [box(label="yield")])

    assert (await studio.parts.puller.pull()).published == 1
    found = await studio.stores.held.find(held.held_id)
    assert found is not None
    assert found.outcome is HeldOutcome.SUPERSEDED


async def test_what_is_submitted_and_deleted_again_is_counted_and_its_revision_stays(
    studio: Studio, task: int
) -> None:
    annotation = studio.server.submit(task, [box()])
    await studio.parts.puller.pull()
    studio.server.person.delete(f"/api/annotations/{annotation}/").raise_for_status()

    assert await studio.parts.puller.pull() == Pulled(unanswered=1)
    assert len(studio.corrections) == 1


async def test_nothing_is_read_of_an_erased_frame_whose_task_was_left(
    studio: Studio, task: int
) -> None:
    studio.server.submit(task, [box()])
    request = ErasureRequest("ada", "request 17", studio.clock.now())
    await studio.stores.tombstones.add([FRAME], request)

    assert await studio.parts.puller.pull() == Pulled()
    assert studio.corrections == []


async def test_a_broker_that_is_away_loses_nothing(studio: Studio, task: int) -> None:
    studio.server.submit(task, [box()])
    studio.outbox.failures.append(ToolUnavailable("the broker is away"))
    with pytest.raises(ToolUnavailable):
        await studio.parts.puller.pull()

    assert await studio.parts.puller.pull() == Pulled(published=1)


async def test_an_answered_task_is_left_when_nobody_asks_any_more(
    studio: Studio, task: int
) -> None:
    studio.server.submit(task, [box()])
    await studio.parts.puller.pull()
    await studio.stores.annotation_tasks.touch([FRAME])

    assert (await studio.parts.pusher.push()).changed == 0
    assert studio.task_of(FRAME)["id"] == task

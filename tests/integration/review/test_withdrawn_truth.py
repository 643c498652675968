"""Ground truth that an undo has withdrawn is as if there were none: on the page and in exports."""

from http import HTTPStatus

import pytest

from services.annotation.export_choice import What
from services.annotation.exporting import chosen_frames, training_set
from services.annotation.label_studio.logic import task_for
from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.tables import frame_row
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.domain.withdrawal import withdrawn
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS
from tests.integration.review.conftest import Browser
from tests.integration.review.test_reviewing import NEEDLE
from tests.review_world import World

FRAME = FrameId("h000-0")
EVERY = NeedleFilter()


async def stored(world: World) -> FrameRecord:
    return (await world.stores.frames.load([FRAME]))[FRAME]


@pytest.fixture(autouse=True)
async def record(world: World) -> FrameRecord:
    """The frame, after an undo has withdrawn its ground truth as revision 2."""
    truth = (await stored(world)).ground_truth
    assert truth is not None
    await world.stores.frames.record([withdrawn(truth).model_copy(update={"revision": 2})])
    return await stored(world)


async def test_exports_leave_out_a_frame_whose_ground_truth_is_withdrawn(world: World) -> None:
    annotated = await chosen_frames(world.stores, What.ANNOTATED, EVERY)
    shortlisted = await chosen_frames(world.stores, What.SHORTLISTED, EVERY)
    settings = world.context.settings.model_copy(update={"reference_share": 0.01})
    training = await training_set(world.stores, settings)

    assert FRAME not in {frame.frame_id for frame in annotated}
    assert FRAME not in {frame.frame_id for frame in training.frames}
    assert dict(training.left_out) == {}
    (frame,) = (frame for frame in shortlisted if frame.frame_id == FRAME)
    assert (frame.annotations, frame.complete, frame.revision) == (None, True, 2)
    for form in (Format.COCO, Format.VOC, Format.YOLO, Format.DATUMARO):
        written = EXPORTERS[form]([frame])
        assert (written.frames, written.losses) == ([], {"not annotated": 1})


def test_its_row_of_the_table_has_no_annotation(record: FrameRecord) -> None:
    row = frame_row(record)

    parts = ("annotated_objects", "annotation_source", "annotation_revision")
    assert [row[part] for part in parts] == [None, None, None]
    assert row["reannotated"] is False


async def test_annotators_are_shown_the_predictions_of_a_frame_that_is_to_be_annotated_again(
    world: World, record: FrameRecord
) -> None:
    needle = (await world.stores.needles.load([NEEDLE]))[NEEDLE]
    assert needle.shortlist is not None
    unannotated = FrameRecord(FRAME, record.captured, None, record.predictions)
    operating = world.context.settings.operating_scores

    task = task_for(record, record.ground_truth, [needle.shortlist], operating)
    first = task_for(unannotated, None, [needle.shortlist], operating)

    assert task is not None
    assert first is not None
    assert (task.others, task.frame.annotations) == (first.others, None)
    # What they submit is a change of the withdrawn revision.
    assert task.frame.revision == 2


async def test_the_page_shows_it_as_not_annotated_and_nobody_completes_it(ana: Browser) -> None:
    page = (await ana.get(f"/frames?id={FRAME}")).text
    answer = await ana.post("/frames/complete", {"id": FRAME, "revision": "2"})

    assert "Not annotated: detections count as neither right nor wrong." in page
    assert "mark as complete" not in page
    assert answer.status_code == HTTPStatus.CONFLICT
    assert ana.world.outbox.published == []


@pytest.mark.parametrize("rows", [{}, {"key": "n1", "row": "n1", "box-n1": "1, 1, 10, 10"}])
async def test_what_is_drawn_on_it_is_its_whole_ground_truth(
    ana: Browser, rows: dict[str, object]
) -> None:
    form = (await ana.get(f"/frames/boxes?id={FRAME}")).text
    answer = await ana.post(
        "/frames/boxes", {"id": FRAME, "revision": "2", "category-n1": "yield", **rows}
    )

    assert "not annotated yet: what you publish is the whole ground truth" in form
    assert "Publish revision 3" in form
    assert answer.status_code == HTTPStatus.SEE_OTHER
    (event,) = ana.world.outbox.published
    assert isinstance(event, FrameAnnotated)
    assert (event.revision, event.complete, event.withdrawn) == (3, True, False)
    assert len(event.annotations) == bool(rows)

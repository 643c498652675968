"""Frames of which something was refused, and copies: on their page, in corrections, in exports."""

from http import HTTPStatus

from services.annotation.export_choice import What
from services.annotation.exporting import chosen_frames, training_set
from services.annotation.ports.needle_filters import NeedleFilter
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId
from services.runtime.stores.frame_ids_mongo import LeftOut
from tests.integration.review.conftest import Browser
from tests.integration.review.test_reviewing import PAGE, values
from tests.review_world import World

FRAME = FrameId("h000-0")


async def partial_truth(world: World) -> FrameAnnotated:
    """The frame's ground truth, once more and with something missing."""
    before = (await world.stores.frames.load([FRAME]))[FRAME].ground_truth
    assert before is not None
    later = before.model_copy(update={"revision": 2, "complete": False})
    await world.stores.frames.record([later])
    return later


async def latest(world: World) -> FrameAnnotated:
    record = (await world.stores.frames.load([FRAME]))[FRAME]
    truth = await world.context.corrector.ground_truth(record)
    assert truth is not None
    return truth


async def test_the_page_of_a_partial_frame_says_what_that_means(ana: Browser) -> None:
    assert "Partially annotated" not in (await ana.get(f"/frames?id={FRAME}")).text
    await partial_truth(ana.world)

    page = (await ana.get(f"/frames?id={FRAME}")).text

    assert "Partially annotated" in page
    assert "No object is missing: mark as complete" in page


async def test_an_annotator_may_say_that_no_object_is_missing(ana: Browser) -> None:
    partial = await partial_truth(ana.world)

    answer = await ana.post("/frames/complete", {"id": FRAME, "revision": "2"})
    truth = await latest(ana.world)

    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert (truth.revision, truth.complete, truth.annotated_by) == (3, True, "Ana")
    assert truth.annotations == partial.annotations
    assert "Partially annotated" not in (await ana.get(f"/frames?id={FRAME}")).text


async def test_nobody_completes_what_they_have_not_seen(ana: Browser) -> None:
    await partial_truth(ana.world)
    answers = [
        await ana.post("/frames/complete", {"id": FRAME, "revision": "1"}),
        await ana.post("/frames/complete", {"id": "nowhere", "revision": "2"}),
        await ana.post_raw("/frames/complete", {"id": FRAME, "revision": "2"}),
    ]
    assert [answer.status_code for answer in answers] == [409, 404, 403]
    assert not (await latest(ana.world)).complete


async def test_a_correction_of_one_region_leaves_a_frame_partial(ana: Browser) -> None:
    await partial_truth(ana.world)
    region = (await values(ana))[0].partition("@")[0]

    await ana.post(f"{PAGE}/corrections", {"region": region, "edit": "no_object", "revision": "2"})
    truth = await latest(ana.world)

    assert (truth.revision, truth.complete) == (3, False)


async def test_the_page_of_a_copy_names_its_original(ana: Browser) -> None:
    await copied(ana.world)
    page = (await ana.get("/frames?id=copy")).text
    assert f'<a href="/review/frames?id={FRAME}">{FRAME}</a>' in page


async def copied(world: World) -> None:
    """A frame that shows the picture of another one again."""
    record = (await world.stores.frames.load([FRAME]))[FRAME]
    assert record.captured is not None
    assert record.ground_truth is not None
    name = {"frame_id": FrameId("copy")}
    facts = [
        captured.model_copy(update=name) for captured in (record.captured, record.ground_truth)
    ]
    await world.stores.frames.record(facts)


async def test_training_sets_leave_out_partial_frames_and_copies(world: World) -> None:
    settings = world.context.settings.model_copy(update={"reference_share": 0.01})
    before = await training_set(world.stores, settings)
    await copied(world)
    await partial_truth(world)

    after = await training_set(world.stores, settings)

    assert dict(before.left_out) == {}
    assert after.left_out == {"annotated in part": 1, "copies": 1}
    ids = {frame.frame_id for frame in after.frames}
    assert ids == {frame.frame_id for frame in before.frames} - {FRAME}
    counting = settings.model_copy(update={"count_copies": True})
    assert (await training_set(world.stores, counting)).left_out == {"annotated in part": 1}


async def test_a_partial_frame_goes_to_annotation_tools_with_what_was_taken(world: World) -> None:
    partial = await partial_truth(world)
    frames = await chosen_frames(world.stores, What.SHORTLISTED, NeedleFilter())
    frame = next(export_frame for export_frame in frames if export_frame.frame_id == FRAME)
    assert (frame.complete, frame.annotations) == (False, partial.annotations)


async def test_frames_that_do_not_count_are_listed_with_why(world: World) -> None:
    assert await world.stores.frame_ids.left_out(10) == []
    record = (await world.stores.frames.load([FRAME]))[FRAME]
    (made,) = record.predictions.values()
    await copied(world)
    await partial_truth(world)
    again = made.model_copy(update={"revision": 2, "complete": False})
    await world.stores.frames.record([again])

    found = await world.stores.frame_ids.left_out(10)

    assert found == [
        LeftOut(
            FrameId("copy"), partial_ground_truth=False, partial_predictions=(), original=FRAME
        ),
        LeftOut(
            FRAME,
            partial_ground_truth=True,
            partial_predictions=(made.detector_id,),
            original=None,
        ),
    ]
    assert await world.stores.frame_ids.left_out(1) == found[:1]

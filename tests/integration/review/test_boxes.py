"""Boxes that are drawn on the page are published as corrections."""

from http import HTTPStatus

from services.contracts.events import FrameAnnotated
from tests.integration.review.conftest import Browser
from tests.review_world import OTHER
from tests.samples import frame_captured

FRAME = "h000-0"
ROWS: dict[str, object] = {
    "id": FRAME,
    "revision": "1",
    "key": ["a0", "a1", "n1"],
    "row": ["a1", "n1"],
    "category-a0": "stop sign",
    "box-a0": "60.0, 40.0, 24.0, 20.0",
    "category-a1": "yield",
    "box-a1": "10.0, 80.0, 30.0, 16.0",
    "category-n1": "crossing",
    "box-n1": "100, 10, 20.5, 20",
    "new": "crossing",  # which no frame has
}


def corrections(ana: Browser) -> list[FrameAnnotated]:
    return [event for event in ana.world.outbox.published if isinstance(event, FrameAnnotated)]


async def test_rows_become_the_next_revision_in_the_persons_name(ana: Browser) -> None:
    page = (await ana.get(f"/frames/boxes?id={FRAME}")).text
    assert "Publish revision 2" in page
    assert 'value="60.0, 40.0, 24.0, 20.0"' in page

    answer = await ana.post("/frames/boxes", ROWS)

    assert answer.status_code == HTTPStatus.SEE_OTHER
    (event,) = corrections(ana)
    assert (event.revision, event.annotated_by, event.complete) == (2, "Ana", True)
    assert [(item.category, item.bbox) for item in event.annotations] == [
        ("yield", OTHER),
        ("crossing", (100, 10, 20.5, 20)),
    ]
    assert "crossing" in (await ana.get(f"/frames?id={FRAME}")).text


async def test_boxes_of_an_overtaken_revision_are_refused_and_kept(
    ana: Browser, ben: Browser
) -> None:
    await ben.post("/frames/boxes", ROWS)

    for _ in range(2):  # sending the refused page again does not overwrite Ben's boxes either
        answer = await ana.post("/frames/boxes", {**ROWS, "category-n1": "bridge"})
        assert answer.status_code == HTTPStatus.CONFLICT
        assert "has changed since you loaded the page" in answer.text
        assert 'name="revision" value="1"' in answer.text
        assert 'value="bridge"' in answer.text
    assert [event.annotated_by for event in corrections(ana)] == ["Ben"]


async def test_boxes_that_are_no_correction_are_not_published(ana: Browser) -> None:
    unchanged = await ana.post("/frames/boxes", {**ROWS, "row": ["a0", "a1"]})
    nameless = await ana.post("/frames/boxes", {**ROWS, "category-n1": " "})

    assert "are the ground truth already" in unchanged.text
    assert "name the category of the box 100, 10, 20.5, 20" in nameless.text
    assert corrections(ana) == []


async def test_a_category_that_is_new_or_misspelt_is_asked_about_before_it_is_published(
    ana: Browser,
) -> None:
    rows = {**ROWS, "category-n1": "crosing"}

    asked = await ana.post("/frames/boxes", rows)
    answer = await ana.post("/frames/boxes", {**rows, "new": "crosing"})

    assert asked.status_code == HTTPStatus.CONFLICT
    assert "no category is called “crosing” yet" in asked.text
    assert '<input type="hidden" name="new" value="crosing">' in asked.text
    assert answer.status_code == HTTPStatus.SEE_OTHER
    (event,) = corrections(ana)
    assert [item.category for item in event.annotations] == ["yield", "crosing"]


async def test_a_frame_without_ground_truth_is_annotated_on_the_page(ana: Browser) -> None:
    frames = ana.world.stores.frames
    await frames.record([frame_captured("new"), frame_captured("blank")])
    rows = {"id": "new", "revision": "0", "key": "n1", "row": "n1", "category-n1": "yield"}

    answer = await ana.post("/frames/boxes", {**rows, "box-n1": "1, 1, 10, 10"})
    empty = await ana.post("/frames/boxes", {"id": "blank", "revision": "0"})

    assert (answer.status_code, empty.status_code) == (HTTPStatus.SEE_OTHER, HTTPStatus.SEE_OTHER)
    first, blank = corrections(ana)
    assert (first.revision, first.annotations[0].category) == (1, "yield")
    assert (blank.revision, blank.annotations) == (1, ())


async def test_frames_without_a_picture_have_no_boxes_to_draw(ana: Browser) -> None:
    assert (await ana.get("/frames/boxes?id=nothing")).status_code == HTTPStatus.NOT_FOUND

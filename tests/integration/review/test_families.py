"""Families on the page, as the retriever gathers them."""

from datetime import timedelta

import pytest

from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.review import family_verdicts, needle_answers
from services.contracts.events import ErrorType
from services.contracts.identity import FamilyId
from services.domain.mining.family_changes import Change, FamilyChange
from services.domain.ports.family_marks import Mark
from tests.integration.review.conftest import Browser
from tests.review_world import World, needle_id_of
from tests.samples import CAPTURED_AT

F, G = FamilyId("f"), FamilyId("g")


async def test_needles_of_a_family_are_listed_by_it(ana: Browser) -> None:
    family = "0f6a6c1e-family"
    await ana.world.stores.family_marks.show(
        {needle_id_of(0): Mark(family), needle_id_of(2): Mark(family, exemplar=True)}, CAPTURED_AT
    )

    start = (await ana.get("/")).text
    needles = (await ana.get(f"/needles?family={family}")).text
    one = (await ana.get(f"/needles/{needle_id_of(0)}")).text

    assert "family 0f6a6c1e" in start
    assert f"/review/needles?family={family}&amp;stage=any" in start
    assert "2 match" in needles
    assert f"family={family}" in one


async def test_the_rest_of_a_family_is_folded_below_a_needle(ana: Browser) -> None:
    marks = {needle_id_of(0): Mark("f", exemplar=True), needle_id_of(2): Mark("f")}
    await ana.world.stores.family_marks.show(marks, CAPTURED_AT)

    listed = (await ana.get("/needles")).text
    address = f"/needles/relatives?family=f&stage=any&of={needle_id_of(0)}"
    rows = (await ana.get(address, **{"HX-Request": "true"})).text

    assert listed.count("1 more in its family") == 2
    assert [f"/review/needles/{needle_id_of(n)}" in rows for n in range(3)] == [False, False, True]


async def test_one_verdict_decides_a_family_except_what_others_work_on(
    ana: Browser, ben: Browser
) -> None:
    marks = {needle_id_of(0): Mark("f", exemplar=True), needle_id_of(2): Mark("f")}
    await ana.world.stores.family_marks.show(marks, CAPTURED_AT)
    await ben.post(f"/needles/{needle_id_of(2)}/claim", {})
    form: dict[str, object] = {"act": "accept", "note": "all billboards"}

    listed = (await ana.get("/needles?family=f")).text
    nothing = (await ana.post("/needles/decisions", form)).text
    answer = (await ana.post("/needles/decisions?family=f", form)).text

    assert "the 8 undecided frames on 2 shortlists of this family" in listed
    assert "Choose a family" in nothing
    assert "1 shortlist decided." in answer
    assert "1 shortlist left to the people at work on them." in answer
    (event,) = await ana.world.stores.reviews.events(needle_id_of(0))
    assert (len(event.regions), event.note) == (4, "all billboards")
    assert await ana.world.stores.reviews.events(needle_id_of(2)) == []


async def test_a_family_larger_than_what_is_decided_at_once_says_so(
    ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (family_verdicts, needle_answers):
        monkeypatch.setattr(module, "MAX_AT_ONCE", 1)
    marks = {needle_id_of(0): Mark("f", exemplar=True), needle_id_of(2): Mark("f")}
    await ana.world.stores.family_marks.show(marks, CAPTURED_AT)
    form: dict[str, object] = {"act": "accept"}

    listed = (await ana.get("/needles?family=f")).text
    first = (await ana.post("/needles/decisions?family=f", form)).text
    second = (await ana.post("/needles/decisions?family=f", form)).text

    assert "on 1 of the 2 shortlists of this family that have some" in listed
    assert "1 shortlist decided." in first
    assert "1 shortlist of the family left: decide again." in first
    assert "1 shortlist decided." in second
    assert "left" not in second.partition('id="message"')[2].partition("</p>")[0]


async def test_a_familys_face_is_the_one_that_is_marked(world: World) -> None:
    await world.stores.family_marks.show(
        {needle_id_of(0): Mark("f"), needle_id_of(2): Mark("f", exemplar=True)}, CAPTURED_AT
    )

    modes = await world.stores.needle_modes.modes()

    (family,) = [mode for mode in modes if mode.family == "f"]
    assert (family.exemplar.needle_id, family.size) == (needle_id_of(2), 2)


async def test_a_mark_that_no_longer_holds_is_taken_away(world: World) -> None:
    marks = world.stores.family_marks
    await marks.show({needle_id_of(0): Mark("f"), needle_id_of(1): Mark("g")}, CAPTURED_AT)

    assert await marks.show({needle_id_of(1): Mark("g")}, CAPTURED_AT) == 1
    assert await marks.of(needle_id_of(0)) == Mark()
    assert await world.stores.needle_lists.count(NeedleFilter(family="f")) == 0


async def test_a_resolved_family_comes_last_and_says_so(ana: Browser) -> None:
    await ana.world.stores.family_marks.show(
        {needle_id_of(0): Mark("f", resolved=True), needle_id_of(2): Mark("f", resolved=True)},
        CAPTURED_AT,
    )

    page = (await ana.get("/")).text

    assert "no longer found after annotation" in page
    assert page.index("&lt;script&gt;") < page.index("no longer found")


async def test_a_needle_that_is_perhaps_no_error_says_so(ana: Browser) -> None:
    await ana.world.stores.family_marks.show({needle_id_of(0): Mark(suspicion=0.9)}, CAPTURED_AT)

    assert "Possibly a missing label" in (await ana.get(f"/needles/{needle_id_of(0)}")).text


async def test_a_miss_shows_what_was_not_detected_and_asks_to_look(ana: Browser) -> None:
    stores, needle_id = ana.world.stores, needle_id_of(0)
    record = (await stores.needles.load([needle_id]))[needle_id]
    assert record.needle is not None
    frame = (await stores.frames.load([record.needle.frame_id]))[record.needle.frame_id]
    assert frame.ground_truth is not None
    missed = {"error_type": ErrorType.MISSED, "revision": 2, "score": 0.0}
    annotation = {"region_id": frame.ground_truth.annotation_ids()[0]}
    await stores.needles.record([record.needle.model_copy(update=missed | annotation)])

    page = (await ana.get(f"/needles/{needle_id}")).text

    assert "not detected" in page
    assert "missed on frame" in page
    assert "Look here" in page
    assert "score 0.00" not in page


async def test_a_merge_and_a_split_are_recorded_once(world: World) -> None:
    marks = world.stores.family_marks
    apart = {needle_id_of(0): Mark("f"), needle_id_of(1): Mark("g"), needle_id_of(2): Mark("g")}
    together = dict.fromkeys(apart, Mark("f"))
    for number, shown in enumerate((apart, together, together, apart)):
        await marks.show(shown, CAPTURED_AT + timedelta(minutes=number))

    assert await marks.changes(5) == [
        (CAPTURED_AT + timedelta(minutes=3), FamilyChange(Change.SPLIT, F, G, 2)),
        (CAPTURED_AT + timedelta(minutes=1), FamilyChange(Change.MERGED, G, F, 2)),
    ]

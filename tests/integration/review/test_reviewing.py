"""Deciding, undoing, claiming, correcting: alone, and two at once."""

import re
from http import HTTPStatus

import pytest

from services.annotation.decisions import review_of
from services.annotation.ports.needle_filters import NeedleFilter, Sort, Stage
from services.annotation.ports.reviews import Act
from services.annotation.review import needle_answers
from services.contracts.errors import BrokerUnavailable
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId
from tests.integration.review.conftest import Browser
from tests.review_world import REGION, STOP, needle_id_of, shortlist
from tests.samples import needle_retracted

NEEDLE = needle_id_of(0)
PAGE = f"/needles/{NEEDLE}"
HTMX = {"HX-Request": "true"}


async def values(browser: Browser) -> list[str]:
    """What the candidates' checkboxes carry."""
    page = (await browser.get(PAGE)).text
    return re.findall(r'form="decide" name="region" value="([^"]+)"', page)


async def stage_of(browser: Browser) -> Stage:
    rows = await browser.world.stores.needle_lists.page(
        NeedleFilter(), Sort.SCORE, skip=0, limit=50
    )
    return next(row.stage for row in rows if row.needle.needle_id == NEEDLE)


async def latest(browser: Browser, frame_id: str) -> FrameAnnotated:
    record = (await browser.world.stores.frames.load([FrameId(frame_id)]))[FrameId(frame_id)]
    found = await browser.world.context.corrector.ground_truth(record)
    assert found is not None
    return found


async def test_a_decision_is_kept_with_who_and_when(ana: Browser) -> None:
    first, second, *_ = await values(ana)

    answer = await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": [first, second]})

    assert answer.status_code == HTTPStatus.SEE_OTHER
    (event,) = await ana.world.stores.reviews.events(NEEDLE)
    assert (event.act, event.by, event.at) == (Act.ACCEPT, "Ana", ana.world.clock.now())
    assert [f"{region}@0" for region in event.regions] == [first, second]
    assert await stage_of(ana) is Stage.STARTED


async def test_a_place_is_known_until_somebody_says_that_it_is_not(ana: Browser) -> None:
    assert "Mark as known" in (await ana.get(PAGE)).text

    answer = await ana.post(f"{PAGE}/place", {"known": "yes"})
    assert answer.status_code == HTTPStatus.SEE_OTHER
    (place,) = await ana.world.stores.known_places.all()
    assert (place.needle_id, place.by, place.category) == (NEEDLE, "Ana", STOP)
    assert place.at == ana.world.clock.now()
    shown = await ana.get(PAGE)
    assert "known, says Ana" in shown.text

    await ana.post(f"{PAGE}/place", {"known": "no"}, **HTMX)
    assert await ana.world.stores.known_places.all() == []


async def test_a_needle_is_done_once_all_its_candidates_are_decided(ana: Browser) -> None:
    first, *rest = await values(ana)
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": first})
    await ana.post(f"{PAGE}/decisions", {"act": "reject", "region": rest})

    assert await stage_of(ana) is Stage.DONE
    assert "2 match" in (await ana.get("/needles?stage=todo")).text


async def test_a_shortlist_that_grew_after_the_review_is_offered_again(ana: Browser) -> None:
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": await values(ana)})
    record = (await ana.world.stores.needles.load([NEEDLE]))[NEEDLE]
    assert record.shortlist is not None
    assert record.needle is not None
    grown = shortlist(record.needle, list(record.shortlist.candidates)[:3], revision=2)
    await ana.world.stores.needles.write_shortlists([grown])

    assert await stage_of(ana) is Stage.EXTENDED
    assert "3 match" in (await ana.get("/needles?stage=todo")).text


async def test_undo_takes_back_the_last_act_and_then_the_one_before(ana: Browser) -> None:
    first, second, *_ = await values(ana)
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": first})
    await ana.post(f"{PAGE}/decisions", {"act": "reject", "region": second})

    await ana.post(f"{PAGE}/undo", {})
    assert "1 decided" in (await ana.get(PAGE)).text
    await ana.post(f"{PAGE}/undo", {})

    assert "0 decided" in (await ana.get(PAGE)).text
    assert await stage_of(ana) is Stage.OPEN
    acts = [event.act for event in await ana.world.stores.reviews.events(NEEDLE)]
    assert acts == [Act.ACCEPT, Act.REJECT, Act.UNDO, Act.UNDO]


async def test_there_is_nothing_to_undo_of_others(ana: Browser, ben: Browser) -> None:
    first, *_ = await values(ana)
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": first})
    ana.world.clock.advance(301)

    answer = await ben.post(f"{PAGE}/undo", {}, **HTMX)

    assert answer.status_code == HTTPStatus.CONFLICT
    assert "no act left to undo" in answer.text


async def test_a_person_with_another_token_of_theirs_goes_on_where_they_were(
    ben: Browser, visitor: Browser
) -> None:
    first, *_ = await values(ben)
    await ben.post(f"{PAGE}/decisions", {"act": "accept", "region": first})
    await visitor.log_in("Ben")  # with a new token, as after `tokens rotate`

    answer = await visitor.post(f"{PAGE}/undo", {})

    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert [event.act for event in await ben.world.stores.reviews.events(NEEDLE)] == [
        Act.ACCEPT,
        Act.UNDO,
    ]


async def test_while_one_works_on_a_needle_the_other_is_told_and_changes_nothing(
    ana: Browser, ben: Browser
) -> None:
    await ana.post(f"{PAGE}/claim", {}, **HTMX)
    first, *_ = await values(ben)

    answer = await ben.post(f"{PAGE}/decisions", {"act": "accept", "region": first}, **HTMX)

    assert answer.status_code == HTTPStatus.CONFLICT
    assert "Ana works on this needle until 10:05 UTC" in answer.text
    assert "in review by Ana" in (await ben.get("/needles")).text
    assert await ana.world.stores.reviews.events(NEEDLE) == []


async def test_a_claim_runs_out(ana: Browser, ben: Browser) -> None:
    await ana.post(f"{PAGE}/claim", {}, **HTMX)
    ana.world.clock.advance(301)
    first, *_ = await values(ben)

    answer = await ben.post(f"{PAGE}/decisions", {"act": "accept", "region": first}, **HTMX)

    assert answer.status_code == HTTPStatus.OK


async def test_a_claim_can_be_taken_over(ana: Browser, ben: Browser) -> None:
    await ana.post(f"{PAGE}/claim", {}, **HTMX)

    await ben.post(f"{PAGE}/claim", {"force": "yes"}, **HTMX)

    refusal = await ana.post(f"{PAGE}/undo", {}, **HTMX)
    assert "Ben works on this needle" in refusal.text


async def test_a_claim_is_taken_over_without_the_script_too(ana: Browser, ben: Browser) -> None:
    await ana.post(f"{PAGE}/claim", {}, **HTMX)

    answer = await ben.post(f"{PAGE}/claim?stage=todo", {"force": "yes"})

    assert (answer.status_code, answer.headers["Location"]) == (
        HTTPStatus.SEE_OTHER,
        f"/review{PAGE}?stage=todo",
    )
    assert "works on this needle" not in (await ben.get(PAGE)).text


async def test_next_to_review_leaves_claimed_needles_to_others_while_there_are_more(
    ana: Browser, ben: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needle_answers, "_AHEAD", 1)  # more are claimed than are read at once
    lists = ana.world.stores.needle_lists
    rows = await lists.page(NeedleFilter(stage=Stage.TODO), Sort.SCORE, limit=50)
    order = [row.needle.needle_id for row in rows]
    await ana.post(f"/needles/{order[1]}/claim", {}, **HTMX)

    over_it = await ben.get(f"/needles/{order[0]}/next?stage=todo")
    own = await ana.get(f"/needles/{order[0]}/next?stage=todo")
    await ana.post(f"/needles/{order[2]}/claim", {}, **HTMX)
    none_free = await ben.get(f"/needles/{order[0]}/next?stage=todo")

    assert over_it.headers["Location"] == f"/review/needles/{order[2]}?stage=todo"
    assert own.headers["Location"] == f"/review/needles/{order[1]}?stage=todo"
    assert none_free.headers["Location"] == f"/review/needles/{order[1]}?stage=todo"


async def test_a_decision_that_was_overtaken_is_told_and_does_not_overwrite(
    ana: Browser, ben: Browser
) -> None:
    first, *_ = await values(ben)
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": first})
    ana.world.clock.advance(301)

    answer = await ben.post(f"{PAGE}/decisions", {"act": "reject", "region": first}, **HTMX)

    assert answer.status_code == HTTPStatus.CONFLICT
    assert "Ana has decided 1 of these in the meantime" in answer.text
    (event,) = await ana.world.stores.reviews.events(NEEDLE)
    assert event.act is Act.ACCEPT


async def correct(browser: Browser, place: int, edit: str, **more: object) -> str:
    region = (await values(browser))[place].partition("@")[0]
    form = {"region": region, "edit": edit, "revision": "1", **more}
    answer = await browser.post(f"{PAGE}/corrections", form, **HTMX)
    return answer.text


async def withdraw_shortlist(browser: Browser) -> None:
    """Retract the needle, as a correction that resolves it does."""
    needles = browser.world.stores.needles
    record = (await needles.load([NEEDLE]))[NEEDLE]
    assert record.needle is not None
    await needles.record([needle_retracted(record.needle, 2)])
    await needles.write_shortlists([shortlist(record.needle, [], revision=2)])


async def test_a_verdict_on_a_needle_that_was_withdrawn_meanwhile_is_told(
    ana: Browser, ben: Browser
) -> None:
    regions = await values(ana)
    await withdraw_shortlist(ana)

    for browser in (ana, ben):
        answer = await browser.post(f"{PAGE}/decisions", {"act": "accept", "region": regions})
        assert answer.status_code == HTTPStatus.CONFLICT
        assert "These candidates are no longer on the shortlist." in answer.text
        assert "This needle was retracted" in answer.text
    assert await ana.world.stores.reviews.events(NEEDLE) == []


async def test_a_missing_label_becomes_the_next_revision(ana: Browser) -> None:
    await correct(ana, 1, "missing_label", category="street lamp")

    (event,) = ana.world.outbox.published
    assert isinstance(event, FrameAnnotated)
    assert (event.frame_id, event.revision) == ("h000-1", 2)
    assert (event.annotated_by, event.annotation_source) == ("Ana", "reannotation")
    assert [annotation.category for annotation in event.annotations] == ["yield", "street lamp"]
    assert event.annotations[1].bbox == REGION


async def test_a_correction_decides_the_candidate_and_undo_takes_back_both(ana: Browser) -> None:
    await correct(ana, 0, "no_object")
    await correct(ana, 1, "missing_label", category="stop sign")
    await correct(ana, 2, "missing_label", category="street lamp")

    decisions = review_of(await ana.world.stores.reviews.events(NEEDLE)).decisions.values()
    assert [(decision.act, decision.note) for decision in decisions] == [
        (Act.ACCEPT, "removed stop sign"),
        (Act.REJECT, "added stop sign"),
        (Act.ACCEPT, "added street lamp"),
    ]
    await ana.post(f"{PAGE}/undo", {})
    assert "2 decided, 1 fails too" in (await ana.get(PAGE)).text


async def test_a_comment_stays_with_its_verdict(ana: Browser) -> None:
    first, *_ = await values(ana)

    form: dict[str, object] = {"act": "unsure", "region": first, "note": "  is it\n a <sign>? "}
    await ana.post(f"{PAGE}/decisions", form)

    page = (await ana.get(PAGE)).text
    assert 'unsure <span class="muted">by Ana: is it a &lt;sign&gt;?</span>' in page


async def test_the_next_needle_to_review_follows_in_the_view_and_at_last_is_the_result(
    ana: Browser,
) -> None:
    stops = "category=stop+sign"
    onward = [await ana.get(f"/needles/{needle_id_of(n)}/next?{stops}") for n in (0, 2)]
    assert [answer.headers["Location"] for answer in onward] == [
        f"/review/needles/{needle_id_of(2)}?{stops}",
        f"/review/needles/{needle_id_of(0)}?{stops}",  # from the start again
    ]

    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": await values(ana)})
    last = f"/needles/{needle_id_of(2)}/next?{stops}&stage=todo"
    answer = await ana.get(last)
    part = await ana.get(last, **HTMX)

    assert answer.headers["Location"] == f"/review/done?{stops}&stage=todo&after={needle_id_of(2)}"
    assert part.headers["HX-Push-Url"] == answer.headers["Location"]
    assert "1 of 2 shortlists, 4 of 8 frames decided" in part.text
    assert "1 shortlist is left outside this view" in part.text


async def test_in_a_queue_the_needle_before_is_the_one_that_was_decided(ana: Browser) -> None:
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": await values(ana)})

    page = (await ana.get(f"/needles/{needle_id_of(1)}?stage=todo")).text

    assert f'rel="prev" href="/review/needles/{NEEDLE}?stage=todo"' in page
    assert "<b>2</b> of 3" in page


async def test_no_object_here_removes_the_annotation_and_leaves_the_others(ana: Browser) -> None:
    await correct(ana, 0, "no_object")

    assert [annotation.category for annotation in (await latest(ana, "h000-0")).annotations] == [
        "yield"
    ]


async def test_a_wrong_category_is_renamed_in_place(ana: Browser) -> None:
    await correct(ana, 0, "wrong_category", category="billboard")

    names = [annotation.category for annotation in (await latest(ana, "h000-0")).annotations]
    assert names == ["billboard", "yield"]


async def test_what_makes_no_sense_is_told_and_publishes_nothing(ana: Browser) -> None:
    there = await correct(ana, 0, "missing_label", category="stop sign")
    nothing = await correct(ana, 1, "wrong_category", category="billboard")

    gone = await correct(ana, 1, "no_object")

    assert "already has a stop sign here" in there
    assert "already has no stop sign here" in gone
    assert "no annotation here to rename" in nothing
    assert ana.world.outbox.published == []


async def test_a_correction_of_what_has_changed_since_is_told(ana: Browser) -> None:
    await correct(ana, 1, "missing_label", category="street lamp")

    found = await correct(ana, 1, "missing_label", category="shop lamp")

    assert "has changed since you loaded the page" in found
    assert len(ana.world.outbox.published) == 1


async def test_two_corrections_in_a_row_need_not_wait_for_the_services(ana: Browser) -> None:
    await correct(ana, 1, "missing_label", category="street lamp")
    await correct(ana, 1, "wrong_category", category="shop lamp", revision="2")

    assert (await latest(ana, "h000-1")).revision == 3


async def test_undoing_a_correction_publishes_what_was_said_before(ana: Browser) -> None:
    before = (await latest(ana, "h000-0")).annotations
    await correct(ana, 0, "no_object")

    await ana.post(f"{PAGE}/undo", {})
    again = await latest(ana, "h000-0")
    await correct(ana, 0, "no_object", revision="3")

    assert (again.revision, again.annotations) == (3, before)
    assert (await latest(ana, "h000-0")).revision == 4


async def test_a_correction_that_resolved_its_needle_can_be_undone_there(ana: Browser) -> None:
    before = (await latest(ana, "h000-0")).annotations
    await correct(ana, 0, "no_object")
    await withdraw_shortlist(ana)

    button = re.search(r'<button id="undo"[^>]*>', (await ana.get(PAGE)).text)
    await ana.post(f"{PAGE}/undo", {})

    assert button is not None
    assert "disabled" not in button[0]
    assert (await latest(ana, "h000-0")).annotations == before


async def test_a_correction_is_sent_later_when_the_broker_is_away(ana: Browser) -> None:
    ana.world.outbox.failures.append(BrokerUnavailable("away"))

    found = await correct(ana, 0, "no_object")
    assert "is stored and will be sent later" in found
    assert await ana.world.context.corrector.resume() == 1
    assert await ana.world.context.corrector.resume() == 0

    (event,) = ana.world.outbox.published
    assert isinstance(event, FrameAnnotated)
    assert event.revision == 2

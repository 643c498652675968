"""Acts that the page sends with an id: taken once, however often they come."""

from dataclasses import replace
from http import HTTPStatus

import httpx
import pytest

from services.annotation.ports.needle_filters import Stage
from services.annotation.ports.reviews import Act, Projection, ReviewEvent
from services.annotation.review.context import ReviewContext
from services.contracts.errors import BrokerUnavailable, StoreUnavailable
from tests.integration.review.conftest import Browser
from tests.integration.review.test_reviewing import HTMX, NEEDLE, PAGE, stage_of, values

X, Y, Z = "a" * 32, "b" * 32, "c" * 32


async def send(browser: Browser, path: str, act_id: str, **form: object) -> httpx.Response:
    return await browser.post(f"{PAGE}/{path}", {"act_id": act_id, **form}, **HTMX)


async def acts(browser: Browser) -> list[tuple[Act, str]]:
    events = await browser.world.stores.reviews.events(NEEDLE)
    return [(event.act, event.act_id) for event in events]


async def test_an_act_that_comes_again_is_known(ana: Browser) -> None:
    first, *_ = await values(ana)

    answers = [await send(ana, "decisions", X, act="accept", region=first) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {HTTPStatus.NO_CONTENT}
    assert {answer.headers["Review-Version"] for answer in answers} == {"1"}
    assert await acts(ana) == [(Act.ACCEPT, X)]


async def test_an_act_that_has_arrived_is_known_though_others_have_come_since(
    ana: Browser, ben: Browser
) -> None:
    first, *_ = await values(ana)
    await send(ana, "decisions", X, act="accept", region=first)
    ana.world.clock.advance(301)
    await ben.post(f"{PAGE}/claim", {}, **HTMX)

    again = await send(ana, "decisions", X, act="accept", region=first)

    assert again.status_code == HTTPStatus.NO_CONTENT
    assert await acts(ana) == [(Act.ACCEPT, X)]


async def test_acts_build_on_those_that_the_page_shows_already(ana: Browser) -> None:
    first, *_ = await values(ana)
    await send(ana, "decisions", X, act="accept", region=first, drawn="0")

    blind = await send(ana, "decisions", Y, act="reject", region=first, drawn="0")
    aware = await send(ana, "decisions", Z, act="reject", region=first, drawn="0", seen_act=X)

    assert blind.status_code == HTTPStatus.CONFLICT
    assert "Ana has decided 1 of these in the meantime" in blind.text
    assert aware.status_code == HTTPStatus.NO_CONTENT
    assert await acts(ana) == [(Act.ACCEPT, X), (Act.REJECT, Z)]


async def test_an_undo_takes_back_what_was_meant_or_nothing(ana: Browser) -> None:
    first, *_ = await values(ana)
    await send(ana, "decisions", X, act="accept", region=first)

    other = await send(ana, "undo", Y, undoes=Z)
    meant = [await send(ana, "undo", Y, undoes=X) for _ in range(2)]

    assert other.status_code == HTTPStatus.CONFLICT
    assert "Nothing was undone" in other.text
    assert {answer.status_code for answer in meant} == {HTTPStatus.NO_CONTENT}
    assert await acts(ana) == [(Act.ACCEPT, X), (Act.UNDO, Y)]


async def test_a_correction_that_comes_again_is_published_once(ana: Browser) -> None:
    form = await correction(ana)

    answers = [await send(ana, "corrections", X, **form) for _ in range(2)]

    assert {answer.status_code for answer in answers} == {HTTPStatus.NO_CONTENT}
    assert len(ana.world.outbox.published) == 1
    assert await acts(ana) == [(Act.CORRECT, X)]


async def test_a_correction_of_an_own_one_that_is_unsent_is_taken(ana: Browser) -> None:
    form = await correction(ana)
    await send(ana, "corrections", X, **form)

    more = form | {"edit": "wrong_category", "category": "shop lamp", "seen_act": X}
    answer = await send(ana, "corrections", Y, **more)

    assert answer.status_code == HTTPStatus.NO_CONTENT
    assert len(ana.world.outbox.published) == 2


async def test_while_the_broker_is_away_an_act_is_asked_for_again(ana: Browser) -> None:
    form = await correction(ana)
    ana.world.outbox.failures.append(BrokerUnavailable("away"))

    first = await send(ana, "corrections", X, **form)
    await ana.world.context.corrector.resume()
    again = await send(ana, "corrections", X, **form)

    assert first.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert first.headers["Retry-After"]
    assert again.status_code == HTTPStatus.NO_CONTENT
    assert len(ana.world.outbox.published) == 1
    assert await acts(ana) == [(Act.CORRECT, X)]


async def test_lists_show_an_act_whose_answer_a_crash_has_cut_off(
    ana: Browser, monkeypatch: object
) -> None:
    context: ReviewContext = ana.world.context
    project, failures = context.stores.reviews.project, [StoreUnavailable("away")]

    async def failing(needle_id: object, projection: Projection) -> None:
        if failures:
            raise failures.pop()
        await project(needle_id, projection)  # type: ignore[arg-type]

    monkeypatch.setattr(context.stores.reviews, "project", failing)  # type: ignore[attr-defined]
    first, *_ = await values(ana)

    cut = await send(ana, "decisions", X, act="accept", region=first)
    again = await send(ana, "decisions", X, act="accept", region=first)

    assert cut.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert again.status_code == HTTPStatus.NO_CONTENT
    assert await stage_of(ana) is Stage.STARTED


def let_others_decide_first(browser: Browser, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Have somebody else's event come before the person's event that many times."""
    reviews, left = browser.world.stores.reviews, [*range(times)]
    append = reviews.append

    async def overtaken(event: ReviewEvent) -> bool:
        if left:
            left.pop()
            rival = replace(event, act=Act.UNSURE, regions=(), by="Ben", act_id="", verdict=None)
            assert await append(rival)
        return await append(event)

    monkeypatch.setattr(reviews, "append", overtaken)


@pytest.mark.parametrize("path", ["corrections", "undo"])
async def test_a_change_of_ground_truth_that_others_overtook_is_asked_for_until_it_is_recorded(
    ana: Browser, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    form = await correction(ana)
    if path == "undo":
        await send(ana, "corrections", Y, **form)
        form = {"undoes": Y}
    published = len(ana.world.outbox.published)
    let_others_decide_first(ana, monkeypatch, 5)

    answers = [await send(ana, path, X, **form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.NO_CONTENT,
    ]
    assert "ground truth is changed as you wanted" in answers[0].text
    assert len(ana.world.outbox.published) == published + 1
    assert [act_id for _, act_id in await acts(ana)].count(X) == 1


async def test_without_the_script_a_published_correction_is_not_called_unsaved(
    ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = await correction(ana)
    let_others_decide_first(ana, monkeypatch, 5)

    answer = await ana.post(f"{PAGE}/corrections", form, **HTMX)

    assert answer.status_code == HTTPStatus.CONFLICT
    assert "ground truth is changed as you wanted" in answer.text.replace("&#39;", "'")
    assert "not saved" not in answer.text


async def test_without_the_script_an_undo_of_a_correction_that_others_overtook_is_recorded(
    ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ana.post(f"{PAGE}/corrections", await correction(ana))
    let_others_decide_first(ana, monkeypatch, 1)

    answer = await ana.post(f"{PAGE}/undo", {})

    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert [act for act, _ in await acts(ana)][-1] is Act.UNDO


async def test_an_act_of_a_session_that_has_ended_is_asked_to_log_in(visitor: Browser) -> None:
    answer = await send(visitor, "decisions", X, act="accept", region="r@0")

    assert answer.status_code == HTTPStatus.UNAUTHORIZED


async def correction(browser: Browser) -> dict[str, object]:
    region = (await values(browser))[1].partition("@")[0]
    named = {"edit": "missing_label", "category": "street lamp"}
    return {"region": region, "revision": "1", **named}

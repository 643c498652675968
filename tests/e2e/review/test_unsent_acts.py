"""Whatever an annotator types arrives: on slow networks, over reloads, logins and in two tabs."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pymongo
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.review.conftest import IDLE, SENT, Site, seed_of, served, shown
from tests.e2e.review.network import ACTS
from tests.e2e.review.test_review_page import check_looks
from tests.review_world import Seed

LONG = 15
TYPING_MS = 20

Enter = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def long_seed(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_of(mongodb_url, tmp_path_factory.mktemp("long"), LONG)


@pytest.fixture
def long_site(long_seed: Seed) -> Iterator[Site]:
    with served(long_seed) as site:
        yield site


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    yield context
    context.close()


def log_in(page: Page, site: Site, name: str = "Ana") -> None:
    page.fill("#token", site.token if name == "Ana" else site.bens_token)
    page.keyboard.press("Enter")


def open_first(context: BrowserContext, site: Site) -> tuple[Page, list[str]]:
    """The first needle, and all needles' ids in the list's order."""
    page = context.new_page()
    page.goto(f"{site.url}/needles")
    log_in(page, site)
    shown(page, "table.needles")
    links = page.locator("[data-row]").evaluate_all("all => all.map((one) => one.pathname)")
    page.locator("[data-row] >> nth=0").click()
    shown(page, "#work")
    return page, [link.rpartition("/")[2] for link in links]


@contextmanager
def database(site: Site) -> Iterator[pymongo.database.Database[dict[str, object]]]:
    client = pymongo.MongoClient[dict[str, object]](site.settings.mongodb)
    try:
        yield client[site.settings.mongodb_database]
    finally:
        client.close()


def acts(site: Site) -> list[tuple[object, object, int]]:
    """Needle, act and number of candidates of every event, in the order in which they were kept."""
    with database(site) as held:
        events = held["reviews"].find().sort("$natural", 1).to_list()
    return [(one["needle_id"], one["act"], len(one["regions"])) for one in events]  # type: ignore[arg-type]


def test_fifty_verdicts_typed_through_fifteen_needles_arrive_once_and_in_order(
    context: BrowserContext, long_site: Site
) -> None:
    site = long_site
    page, needles = open_first(context, site)
    verdicts = [("1x", "reject"), ("2a", "accept"), ("3x", "reject"), ("4a", "accept")]
    keys, expected = [], []
    for place, needle in enumerate(needles):
        chosen = verdicts if place < 5 else verdicts[:3]
        # The last verdict on a needle leads to the next by itself.
        keys.append("".join(key for key, _ in chosen) + ("" if place < 5 else "j"))
        expected += [(needle, act, 1) for _, act in chosen]
    site.network.delays_s = (0, 0.2, 1)
    site.network.lost_requests = {6}
    site.network.lost_answers = {19, 33}
    site.network.lost_pages = {4}
    given_up: list[str] = []
    page.on("requestfailed", lambda request: given_up.append(request.url))

    page.keyboard.type("".join(keys)[:-1], delay=TYPING_MS)

    expect(page.locator(".place b")).to_have_text(str(LONG))
    expect(page.locator(IDLE)).to_have_count(1)
    assert len(expected) == 50
    assert acts(site) == expected
    repeated = sum(url.endswith(ACTS) for url in given_up)
    assert repeated >= 3
    assert len(site.network.arrived) == len(expected) + repeated - 1  # of one, nothing was heard
    expect(page.locator("#unsent")).to_be_hidden()


def test_typing_ahead_of_one_needle_decides_what_was_left_each_time(
    context: BrowserContext, site: Site
) -> None:
    page, needles = open_first(context, site)
    site.network.delays_s = (0.5,)

    page.keyboard.type("1xa2az1x", delay=TYPING_MS)

    expect(page.locator(IDLE)).to_have_count(1)
    expect(page.locator("#decided")).to_have_text("1 decided")
    first, second, *_ = needles
    assert acts(site) == [
        (first, "reject", 1),
        (first, "accept", 3),
        (second, "accept", 1),
        (second, "undo", 1),
        (second, "reject", 1),
    ]


def test_undo_takes_back_the_correction_that_resolved_the_needle_and_no_other_act(
    context: BrowserContext, site: Site
) -> None:
    page, (first, second, *_) = open_first(context, site)
    page.keyboard.type("1xj", delay=TYPING_MS)
    expect(page.locator(".place b")).to_have_text("2")
    page.keyboard.press("c")
    page.locator(".query .fix input[name=category]").fill("yield")
    page.locator(".query .fix button[value=missing_label]").press("Enter")
    expect(page.locator(SENT)).to_have_count(1)
    with database(site) as held:
        held["needles"].update_one({"_id": second}, {"$set": {"shortlist.event.candidates": []}})
    page.reload()
    expect(page.locator(".cards")).to_have_count(0)

    page.keyboard.press("z")

    expect(page.locator(".log")).to_have_count(0)
    expect(page.locator(IDLE)).to_have_count(1)
    assert acts(site) == [(first, "reject", 1), (second, "correct", 0), (second, "undo", 0)]


def test_a_comment_typed_ahead_is_a_comment_and_no_commands(
    context: BrowserContext, site: Site
) -> None:
    page, needles = open_first(context, site)
    site.network.delays_s = (0.5,)

    page.keyboard.type("n1mdark alles", delay=TYPING_MS)
    page.keyboard.press("Backspace")
    page.keyboard.type("y\na", delay=TYPING_MS)

    expect(page.locator(IDLE)).to_have_count(1)
    assert acts(site) == [(needles[1], "accept", 1)]
    page.reload()
    expect(page.locator(".card.accepted")).to_contain_text("fails too by Ana: dark alley")


def test_a_comment_is_kept_while_the_answer_to_the_last_verdict_comes(
    context: BrowserContext, site: Site
) -> None:
    page, _ = open_first(context, site)
    site.network.delays_s = (0.5,)

    page.keyboard.type("1xmdark")
    expect(page.locator(SENT)).to_have_count(1)
    expect(page.locator(".is-unsent")).to_have_count(0)
    page.keyboard.type(" alley\n2a")

    expect(page.locator(SENT)).to_have_count(1)
    page.reload()
    expect(page.locator(".card.accepted")).to_contain_text("fails too by Ana: dark alley")


def test_what_is_unsent_is_shown_kept_over_a_reload_and_sent(
    context: BrowserContext, site: Site
) -> None:
    page, _ = open_first(context, site)
    site.network.away = True

    page.keyboard.type("1x2a", delay=TYPING_MS)

    unsent = page.locator("#unsent")
    expect(unsent).to_contain_text("2 unsent")
    expect(unsent).to_contain_text("sending again until the server answers")
    expect(page.locator(".card.rejected.is-unsent")).to_have_count(1)
    expect(page.locator("#decided")).to_have_text("2 decided, 1 fails too")
    check_looks(page, "unsent")
    page.reload()
    expect(unsent).to_contain_text("2 unsent")
    expect(page.locator(".card.accepted.is-unsent")).to_have_count(1)
    assert acts(site) == []

    site.network.away = False
    unsent.get_by_role("button", name="Send now").click()
    expect(unsent).to_be_hidden()
    expect(page.locator(".is-unsent")).to_have_count(0)
    assert [act for _, act, _ in acts(site)] == ["reject", "accept"]


def test_what_is_refused_is_shown_until_it_is_dismissed(
    browser: Browser, context: BrowserContext, site: Site
) -> None:
    page, (needle, *_) = open_first(context, site)
    other = browser.new_context()
    ben = other.new_page()
    ben.goto(page.url)
    log_in(ben, site, "Ben")
    shown(ben, "#work")
    ben.keyboard.press("1")
    expect(ben.locator("#claim")).to_have_attribute("data-claim", "own")

    page.keyboard.type("1x2aj1x", delay=TYPING_MS)

    expect(page.locator(IDLE)).to_have_count(1)
    refused = page.locator("#unsent .alert")
    expect(refused).to_have_count(2)
    expect(refused.first).to_contain_text("Refused: detector is right, for 1 of stop sign. Ben")
    check_looks(page, "refused")
    assert [act for _, act, _ in acts(site)] == ["reject"]  # of the needle that is free
    refused.first.get_by_role("link", name="Open page").click()
    expect(page).to_have_url(re.compile(needle))
    shown(page, "#work")
    expect(refused).to_have_count(2)
    refused.first.get_by_role("button", name="Dismiss").click()
    expect(refused).to_have_count(1)
    other.close()


def test_the_end_of_a_session_loses_nothing_and_nobody_else_sends_it(
    context: BrowserContext, site: Site
) -> None:
    page, _ = open_first(context, site)
    context.clear_cookies()

    page.keyboard.type("1x2a", delay=TYPING_MS)

    unsent = page.locator("#unsent")
    expect(unsent).to_contain_text("2 unsent Your session has ended.")
    unsent.get_by_role("link", name="Log in").click()
    expect(unsent).to_contain_text("sent once Ana logs in again")
    log_in(page, site, "Ben")
    shown(page, "#work")
    expect(unsent).to_contain_text("2 unsent of Ana")
    page.keyboard.type("3x", delay=TYPING_MS)
    expect(page.locator(".card.rejected:not(.is-unsent)")).to_have_count(1)
    assert [act for _, act, _ in acts(site)] == ["reject"]  # Ben's own
    page.get_by_role("button", name="Log out").click()
    expect(unsent).to_contain_text("2 unsent")
    log_in(page, site)
    expect(page.locator(SENT)).to_have_count(1)
    expect(unsent.locator(".alert")).to_have_count(2)  # Ben has claimed the needle meanwhile
    assert len(acts(site)) == 1


def test_two_tabs_send_in_the_order_of_typing_and_nothing_twice(
    context: BrowserContext, site: Site
) -> None:
    first, needles = open_first(context, site)
    second = context.new_page()
    second.goto(f"{site.url}/needles/{needles[1]}")
    shown(second, "#work")
    site.network.delays_s = (0.3,)

    for key in "123":
        for page in (first, second):
            page.bring_to_front()
            page.keyboard.type(f"{key}x", delay=TYPING_MS)

    for page in (first, second):  # a tab hears of the other's acts a moment later
        expect(page.locator(SENT)).to_have_count(1)
    assert acts(site) == [(needle, "reject", 1) for _ in range(3) for needle in needles[:2]]
    for page in (first, second):
        expect(page.locator(".card.rejected:not(.is-unsent)")).to_have_count(3)


def test_answers_to_questions_are_typed_ahead_too(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.goto(f"{site.url}/questions")
    log_in(page, site)
    shown(page, "table.questions")
    page.locator("[data-row] >> nth=0").click()
    shown(page, "#work")
    site.network.delays_s = (0.5,)
    site.network.lost_answers = {0}

    page.keyboard.type("1a2a", delay=TYPING_MS)

    expect(page.locator(".empty h2")).to_have_text("No open questions")
    expect(page.locator("#notice")).to_contain_text("version 2 by Finn for h000-2")
    with database(site) as held:
        assert held["label_answers"].count_documents({}) == 1

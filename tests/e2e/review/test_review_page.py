"""A whole review in a real browser: by keyboard alone, on two widths, in light and dark."""

import json
import os
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Browser, Page, Route, expect

from tests.e2e.review.conftest import AXE, IDLE, NEEDLES, SCHEMES, SENT, WIDTHS, Site, shown
from tests.review_world import UNKNOWN

ARTIFACTS = Path(os.environ.get("GAZELOOP_ARTIFACTS", ""))
PAGES = [
    "/",
    "/needles",
    "/needles/map",
    "/charts",
    "/charts/curves?score=0.3",
    "/charts/work",
    "/map",
    "/map/shortlists",
    "/map/selection?outline=-1,-1 9,-1 9,9 -1,9",
    "/frames/behind?outcome=wrong&score=0.3&detector=ods@1",
    "/budgets?detector=ods@1&budget=day",
    "/budgets",
    "/done",
    "/dead-letters",
    "/frames?id=h000-0",
    "/frames/boxes?id=h000-0",
    "/similar?frame=h000-0&box=10,0,20,20",
    "/similar?text=sign&of=frames",
    "/questions",
    f"/questions/label?name={UNKNOWN}",
]
one_look = pytest.mark.parametrize("scheme", ["light"], indirect=True)
wide = pytest.mark.parametrize("width", [1280], indirect=True)
narrow = pytest.mark.parametrize("width", [390], indirect=True)


def serious(page: Page) -> list[str]:
    """What axe finds serious or critical."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{item['id']}: {json.dumps([node['html'][:160] for node in item['nodes'][:3]])}"
        for item in found["violations"]
        if item["impact"] in {"serious", "critical"}
    ]


def keep(page: Page, name: str) -> None:
    """A picture of the page, where CI wants artifacts."""
    if os.environ.get("GAZELOOP_ARTIFACTS"):
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        # A caret that is hidden takes a style, which the page's policy may block.
        page.screenshot(path=ARTIFACTS / f"{name}.png", caret="initial")


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    wider: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wider


def check_looks(page: Page, name: str) -> None:
    """Whether it is accessible and fits, on both widths and in both schemes; 390 and dark last."""
    for width, scheme in product(WIDTHS, SCHEMES):
        page.set_viewport_size({"width": width, "height": 860})
        page.emulate_media(
            color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
        )
        assert serious(page) == [], (width, scheme)
        assert overflow(page) <= 0, (width, scheme)
        keep(page, f"{name}-{scheme}-{width}")


@one_look
@wide
def test_a_whole_review_is_done_by_keyboard_alone(page: Page, site: Site) -> None:
    press = page.keyboard.press
    press("j")
    press("Enter")
    shown(page, "#work")
    press("1")
    for place in range(NEEDLES):
        expect(page.locator(".place b")).to_have_text(str(place + 1))
        expect(page.locator(".card >> nth=0").locator("input[type=checkbox]")).to_be_checked()
        press("x")
        expect(page.locator("#decided")).to_have_text("1 decided")
        press("a")  # none is marked: all that are undecided; the last verdict leads on
        if place < NEEDLES - 1:
            press("1")  # meant for the needle that comes, however slowly it does
    until_done(page)
    press("z")  # back on the last needle
    expect(page.locator("#decided")).to_have_text("1 decided")
    expect(page.locator(IDLE)).to_have_count(1)
    press("m")
    page.keyboard.type("too dark")
    press("Enter")
    press("s")
    until_done(page)
    done = page.locator(".finished")
    expect(done).to_contain_text(f"{NEEDLES} of {NEEDLES} shortlists, 60 of 60 frames decided")
    expect(done.locator("tr", has_text="Unsure")).to_contain_text("3")
    bought = done.locator("tr", has_text="mAP of H recovered")
    expect(bought).to_contain_text("by repairing 60 reviewed frames")
    expect(bought).to_contain_text("+0.021")
    keep(page, "review-done")
    press("k")
    expect(page.locator(".place b")).to_have_text(str(NEEDLES))
    expect(page.locator(".card.unsure >> nth=0")).to_contain_text("unsure by Ana: too dark")
    keep(page, "needle-reviewed")
    press("u")
    shown(page, "table.needles")
    expect(page.locator(".stage.done")).to_have_count(NEEDLES)
    page.goto(f"{site.url}/needles?stage=open")
    expect(page.locator(".empty h2")).to_have_text("No needle matches")


@one_look
@wide
def test_a_region_drawn_on_a_frame_is_searched_by(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/frames?id=h000-0")
    page.get_by_role("button", name="Draw it").click()
    picture = page.locator(".frame-columns .picture").bounding_box()
    assert picture is not None
    page.mouse.move(picture["x"] + picture["width"] / 10, picture["y"] + picture["height"] / 10)
    page.mouse.down()
    page.mouse.move(picture["x"] + picture["width"] / 2, picture["y"] + picture["height"] / 2)
    page.mouse.up()
    shown(page, ".found-frames")
    expect(page.locator("h1")).to_have_text("Similar regions")
    assert "box=16.0%2C12.0%2C64.0%2C48.0" in page.url


@one_look
@wide
def test_keys_move_help_hide_boxes_and_correct(page: Page) -> None:
    press = page.keyboard.press
    press("?")
    expect(page.locator("#help")).to_be_visible()
    press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    folded = page.locator("tr.relative")
    page.locator(".relatives >> nth=0").click()
    expect(folded).to_have_count(1)
    page.locator(".relatives >> nth=0").click()
    expect(folded).to_be_hidden()
    press("j")
    press("j")
    expect(page.locator("[data-row] >> nth=2")).to_be_focused()  # the second is folded
    press("k")
    press("Enter")
    shown(page, "#work")
    press("b")
    expect(page.locator(".boxes >> nth=0")).to_be_hidden()
    press("b")
    expect(page.locator(".boxes >> nth=0")).to_be_visible()
    press("2")
    press("c")
    expect(page.locator(".card >> nth=1").locator(".fix form")).to_be_visible()
    press("Tab")
    page.keyboard.type("")
    page.locator(".card >> nth=1").locator("input[name=category]").fill("street lamp")
    page.locator(".card >> nth=1").locator("button[value=missing_label]").press("Enter")
    expect(page.locator(".log")).to_contain_text("added street lamp, revision 2 of")
    expect(page.locator(".card.accepted")).to_contain_text("fails too by Ana: added street lamp")
    page.locator(".card.accepted .where a").click()
    shown(page, ".frame-id")
    press("+")
    expect(page.locator(".zoom.zoomed")).to_have_count(1)
    press("=")
    expect(page.locator(".zoom.zoomed")).to_have_count(0)
    labels = "document.querySelector('.boxes g:has(.tag)')"
    page.evaluate(f"{labels}.after({labels}.cloneNode(true))")
    press("+")
    expect(page.locator(".tag.covered")).to_have_count(1)  # it would lie on its like
    page.evaluate(f"{labels}.remove()")
    press("=")
    expect(page.locator(".tag.covered")).to_have_count(0)
    page.locator("#least").fill("0.99")
    expect(page.locator(".boxes .below")).to_have_count(1)
    keep(page, "frame-above-score")


def until_done(page: Page) -> None:
    """Wait for the last page, which loads itself again if it came before the last verdicts did."""
    expect(page.locator("h1")).to_have_text("Review done")
    expect(page.locator(IDLE)).to_have_count(1)
    shown(page, ".finished")


def opened_by_ben(page: Page, site: Site) -> Page:
    """Ben's page of the first needle, which Ana has claimed on hers."""
    page.locator("[data-row] >> nth=0").click()
    shown(page, "#work")
    page.keyboard.press("1")
    expect(page.locator("#claim")).to_have_attribute("data-claim", "own")
    other = page.context.browser.new_context().new_page()  # type: ignore[union-attr]  # it has one
    other.goto(page.url)
    other.fill("#token", site.bens_token)
    other.keyboard.press("Enter")
    expect(other.locator("#claim")).to_contain_text("Ana works on this needle until")
    shown(other, "#work")
    return other


@one_look
@wide
def test_two_people_see_what_the_other_does_and_are_led_to_different_needles(
    page: Page, site: Site
) -> None:
    other = opened_by_ben(page, site)
    other.keyboard.press("2")
    other.keyboard.press("x")
    refused = other.locator("#unsent")
    expect(refused).to_contain_text("Refused: detector is right, for 2 of stop sign. Ana works")
    expect(other.locator("#decided")).to_have_text("0 decided")
    refused.get_by_role("button", name="Dismiss").click()
    expect(refused).to_be_hidden()
    page.keyboard.press("x")
    expect(page.locator("#decided")).to_have_text("1 decided")
    expect(page.locator(SENT)).to_have_count(1)
    other.keyboard.press("t")
    expect(other.locator("#claim .alert")).to_have_count(0)
    expect(other.locator("#decided")).to_have_text("1 decided")
    expect(other.locator("#undo")).to_be_disabled()
    other.keyboard.press("n")
    expect(other.locator(".place b")).to_have_text("2")
    expect(other.locator("#claim")).to_have_attribute("data-claim", "own")
    page.keyboard.press("n")
    expect(page.locator(".place b")).to_have_text("3")
    other.keyboard.press("z")  # back to the act that was refused
    expect(other.locator("#notice")).to_contain_text("Nothing is left to undo here")
    expect(other.locator("#decided")).to_have_text("1 decided")
    kept = [{"needle": "erased", "page": "/review/needles/erased"}]
    other.evaluate("(kept) => sessionStorage.setItem('trail', JSON.stringify(kept))", kept)
    other.keyboard.press("n")
    expect(other.locator("#undo")).to_be_enabled()
    other.keyboard.press("z")
    expect(other.locator("h1")).to_have_text("Not found")
    expect(other.locator("#notice")).to_contain_text("Nothing is left to undo here")
    assert other.evaluate("sessionStorage.getItem('trail')") == "[]"  # the next z leads elsewhere
    other.context.close()


@one_look
@wide
def test_a_late_answer_does_not_hide_what_another_person_decided(page: Page, site: Site) -> None:
    other = opened_by_ben(page, site)
    late: list[tuple[Route, APIResponse]] = []
    other.route(other.url, lambda route: late.append((route, route.fetch())), times=1)
    other.keyboard.press("2")
    other.keyboard.press("x")  # refused, so the page asks how the needle stands
    while not late:
        other.wait_for_timeout(50)
    page.keyboard.press("x")
    expect(page.locator(SENT)).to_have_count(1)
    other.keyboard.press("t")
    expect(other.locator("#claim .alert")).to_have_count(0)
    [(route, before)] = late
    route.fulfill(response=before)
    expect(other.locator(".card >> nth=0")).to_contain_text("detector is right by Ana")
    other.context.close()


def test_every_page_is_accessible_and_fits(page: Page, site: Site, scheme: str, width: int) -> None:
    addresses = [f"{site.url}{path}" for path in PAGES]
    root = site.url.removesuffix("/review")
    needle = page.locator("[data-row] >> nth=0").get_attribute("href")
    page.goto(f"{site.url}/questions")
    choice = page.locator('[data-row][href*="/questions/"] >> nth=1').get_attribute("href")
    for address in [*addresses, f"{root}{needle}", f"{root}{choice}"]:
        page.goto(address)
        assert serious(page) == [], address
        assert overflow(page) <= 0, address
        name, _, rest = address.removeprefix(site.url).strip("/").partition("?")[0].partition("/")
        keep(page, f"{name or 'start'}{'-one' if rest else ''}-{scheme}-{width}")


def test_logging_in_is_accessible_on_both_widths_and_in_both_schemes(
    browser: Browser, site: Site
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.url}/needles")
    expect(page.locator("#token")).to_be_focused()
    check_looks(page, "login")

    page.keyboard.type("not a token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not a valid token")
    expect(page.locator("#token")).to_be_focused()
    check_looks(page, "login-refused")
    page.keyboard.type(site.token)
    page.keyboard.press("Enter")
    shown(page, "table.needles")
    expect(page.locator(".who .name")).to_have_text("Ana")
    context.close()


@one_look
@wide
def test_logging_out_ends_the_session_in_every_window_that_has_its_cookie(
    page: Page, site: Site
) -> None:
    context = page.context.browser.new_context()  # type: ignore[union-attr]  # it has one
    context.add_cookies(page.context.cookies())  # type: ignore[arg-type]  # as they were read
    copy = context.new_page()
    copy.goto(f"{site.url}/needles")
    shown(copy, "table.needles")

    page.get_by_role("button", name="Log out").click()

    expect(page.locator("#token")).to_be_visible()
    copy.reload()
    expect(copy.locator("#token")).to_be_visible()
    page.go_back()
    page.reload()
    expect(page.locator("#token")).to_be_visible()
    context.close()


@one_look
@wide
def test_questions_are_answered_by_keyboard_alone(page: Page, site: Site) -> None:
    press = page.keyboard.press
    page.goto(f"{site.url}/questions")
    press("j")
    press("Enter")
    shown(page, "#work")
    press("1")  # another name of the category that is suggested
    press("a")
    expect(page.locator(".answered")).to_contain_text("Stop_sgn is stop sign")
    expect(page.locator("h1")).to_have_text("Which version is right?")
    expect(page.locator(".count")).to_have_text("1 open")
    shown(page, "#work")
    press("2")
    press("a")
    expect(page.locator("#notice")).to_contain_text("version 2 by Finn for h000-2")
    expect(page.locator(".empty h2")).to_have_text("No open questions")
    keep(page, "questions-answered")


@one_look
@narrow
def test_a_review_is_done_by_touch_on_a_phone(page: Page) -> None:
    page.locator("[data-row] >> nth=0").click()
    shown(page, "#work")
    first = page.locator(".card >> nth=0").locator(".pick")
    expect(first).to_be_in_viewport(ratio=1)
    first.click()
    page.get_by_role("button", name="Fails too").click()
    expect(page.locator("#decided")).to_have_text("1 decided, 1 fails too")
    page.get_by_role("link", name="Next", exact=True).click()
    expect(page.locator(".place b")).to_have_text("2")


def test_a_candidate_is_decided_without_any_script(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/needles")
    page.fill("#token", site.token)
    page.get_by_role("button", name="Log in").click()
    page.locator("[data-row] >> nth=0").click()
    page.locator(".card >> nth=1").locator(".pick").click()
    page.get_by_role("button", name="Detector is right").click()

    expect(page.locator("#decided")).to_have_text("1 decided")
    context.close()


@one_look
@wide
def test_circled_points_of_the_map_are_listed(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/map")
    canvas = page.locator("canvas.region-map")
    expect(canvas).to_have_attribute("data-drawn", "4")
    page.get_by_role("button", name="Circle regions").click()
    place = canvas.bounding_box()
    assert place is not None
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)]
    for k, (x, y) in enumerate(corners):
        page.mouse.move(place["x"] + x * place["width"], place["y"] + y * place["height"])
        if k == 0:
            page.mouse.down()
    page.mouse.up()
    page.get_by_role("link", name="List the circled regions").click()
    expect(page.locator(".head")).to_contain_text("4 regions on 4 frames")
    page.get_by_label("Name").fill("wet roads")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("wet roads")
    expect(page.locator(".head")).to_contain_text("4 regions on 4 frames, circled by Ana")
    assert serious(page) == []


@one_look
@wide
def test_a_box_is_drawn_moved_named_taken_back_and_published(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/frames/boxes?id=h000-1")
    place = page.locator("svg.editor").bounding_box()
    assert place is not None
    scale = place["width"] / 160
    before = page.locator("svg.editor .truth").count()
    for end in ((100, 20), (130, 60)):
        page.mouse.move(place["x"] + end[0] * scale, place["y"] + end[1] * scale)
        page.mouse.down() if end[0] == 100 else page.mouse.up()
    expect(page.locator("svg.editor .truth")).to_have_count(before + 1)
    page.keyboard.type("yield")
    page.keyboard.press("Enter")
    box = page.locator("tr.selected input[name^=box-]")
    expect(box).to_have_value("100.0, 20.0, 30.0, 40.0")
    page.locator('svg.editor [aria-label^="yield, 100.0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Alt+ArrowUp")
    expect(box).to_have_value("101.0, 20.0, 30.0, 30.0")
    page.keyboard.press("Control+z")
    expect(box).to_have_value("101.0, 20.0, 30.0, 40.0")
    page.get_by_role("button", name="Redo").click()
    expect(box).to_have_value("101.0, 20.0, 30.0, 30.0")
    page.get_by_role("button", name="Publish revision 2").click()
    shown(page, "h1.frame-id")
    expect(page.locator("table", has_text="101.0, 20.0, 30.0, 30.0")).to_be_visible()

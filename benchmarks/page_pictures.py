"""Take the pictures of README and docs: the review page on the demo's data, in a real browser.

    python -m benchmarks.page_pictures                      # writes docs/images
    python -m benchmarks.page_pictures --every pages        # and every page, in every look

A campaign is done on the page meanwhile: verdicts follow the demo's ground truth, so the pictures
before and after it show what annotators see. `--every` adds each page at 1440, 1280 and 390 pixels,
light and dark, to look at before a release.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

_ROOT = Path(__file__).parents[1]
IMAGES = _ROOT / "docs" / "images"
_GAZELOOP = (sys.executable, "-m", "services.cli.main")
_AS_THE_DEMO = ("http_port=0", "metrics_port=0", "shortlist_early=0")
_START_S, _COMPUTED_S = 600.0, 600.0
_SHOWN_S = 90.0
_QUALITY = 72
_HEIGHTS = {1440: 900, 1280: 860, 390: 844}
Scheme = Literal["light", "dark"]
_SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_UNDECIDED = "[data-undecided=yes]"
_CHANGED = """([url, left, undecided]) =>
    location.href !== url || document.querySelectorAll(undecided).length !== left"""
_PAGES = {
    "modes": "/",
    "needles": "/needles",
    "by-place": "/needles/map",
    "charts": "/charts",
    "curves": "/charts/curves",
    "work": "/charts/work",
    "versions": "/versions",
    "map": "/map",
    "shortlists-of-the-map": "/map/shortlists",
    "budgets": "/budgets",
    "questions": "/questions",
    "categories": "/categories",
    "dead-letters": "/dead-letters",
    "done": "/done",
}


class Served:
    """The page on the demo's data, and the commands beside it."""

    def __init__(self, data: Path, url: str) -> None:
        self._data = data
        self.url = url

    def command(self, *words: str | Path, folder: Path = _ROOT) -> str:
        """Run a command on the data in a folder, and return what it prints."""
        return subprocess.check_output(  # noqa: S603  # our own command
            [*_GAZELOOP, "--data", self._data, *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            text=True,
        )

    def token(self, name: str) -> str:
        """A new token of an annotator."""
        words = self.command("tokens", "create", f"annotation:{name}").split()
        return next(word for word in words if word.startswith("gz-"))

    def raise_a_question(self, folder: Path) -> None:
        """Two annotators of one frame disagree."""
        self.command("export", "--format", "label-studio", "--to", folder)
        tasks = json.loads((folder / "tasks.json").read_text())
        task = next(one for one in tasks if one["annotations"] and one["annotations"][0]["result"])
        (one,) = task["annotations"]
        other = json.loads(json.dumps(one))
        other["result"][0]["value"]["width"] *= 0.7
        named = [
            {**version, "completed_by": {"email": f"{name}@example.org"}, "was_cancelled": False}
            for name, version in (("ana", one), ("finn", other))
        ]
        answers = json.dumps([{"data": task["data"], "annotations": named}])
        (folder / "answers.json").write_text(answers)
        # The page shows the file's path as it was given.
        self.command("ingest", "label-studio", "--annotations", "answers.json", folder=folder)


@contextmanager
def served(data: Path) -> Iterator[Served]:
    """Serve the page of this folder, and mine the demo into it if it does not exist."""
    if not data.exists():
        command: list[str | Path] = [*_GAZELOOP, "--data", data, "demo", "--no-serve"]
        subprocess.run(command, check=True)  # noqa: S603  # our own command
    settings = [text for one in _AS_THE_DEMO for text in ("--set", one)]
    process = subprocess.Popen(  # noqa: S603  # our own command
        [*_GAZELOOP, "--data", data, *settings, "up"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url = next(line.split()[1] for line in process.stdout if line.split()[:1] == ["review"])
        yield Served(data, url)
    finally:
        process.terminate()
        process.wait(_START_S)


class Looks:
    """Windows of one annotator."""

    def __init__(self, browser: Browser, url: str, token: str) -> None:
        self._browser = browser
        self.url = url
        page = browser.new_page()
        page.goto(f"{url}/login")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_selector("nav")
        self._state = page.context.storage_state()
        page.context.close()

    @contextmanager
    def window(self, width: int = 1280, scheme: Scheme = "light") -> Iterator[Page]:
        """A window of this width."""
        context = self._browser.new_context(
            viewport={"width": width, "height": _HEIGHTS[width]},
            color_scheme=scheme,
            storage_state=self._state,
        )
        page = context.new_page()
        page.set_default_timeout(1000 * _SHOWN_S)
        try:
            yield page
        finally:
            context.close()

    def open(self, page: Page, path: str) -> None:
        """Show this page, with its pictures."""
        page.goto(f"{self.url}{path}")
        page.wait_for_load_state("networkidle")

    def computed(self, page: Page, path: str, selector: str) -> None:
        """Show this page once services have computed what the selector finds."""
        deadline = time.monotonic() + _COMPUTED_S
        self.open(page, path)
        while not page.locator(selector).count():
            if time.monotonic() > deadline:
                sys.exit(f"{path} shows no {selector} after {_COMPUTED_S:.0f} s")
            page.wait_for_timeout(2000)
            self.open(page, path)


def first_needle(looks: Looks, page: Page) -> str:
    """The path of the needle that leads the list of those with a shortlist."""
    looks.open(page, "/needles")
    return _path(page, "[data-row]")


def decide(page: Page, *, most: int) -> None:
    """Decide the undecided candidates of the open needle as ground truth does."""
    path, cards = page.url, page.locator(".card")
    for verdict in "ax":
        if page.url != path:
            return
        chosen = [
            place
            for place, text in enumerate(cards.all_inner_texts()[:most])
            if ("nothing here" in text) == (verdict == "a") and "undecided" in text
        ]
        left = page.locator(_UNDECIDED).count()
        for place in chosen:
            page.keyboard.press("1234567890"[place])
        if chosen:
            page.keyboard.press(verdict)
            page.wait_for_function(_CHANGED, arg=[path, left, _UNDECIDED])


def shot(page: Page, name: str, *, of: str = "") -> None:
    """Write a picture of the window, or of a part of it, to docs/images."""
    taken = page.locator(of).screenshot() if of else page.screenshot()
    with Image.open(BytesIO(taken)) as picture:
        file = IMAGES / f"review-{name}.webp"
        picture.convert("RGB").save(file, quality=_QUALITY, method=6)


def take_pages(looks: Looks, needle: str) -> None:
    """The pictures of single pages, as annotators see them during a campaign."""
    with looks.window() as page:
        looks.open(page, needle)
        decide(page, most=3)
        looks.open(page, needle)
        shot(page, "needle")
        looks.open(page, "/")
        shot(page, "modes")
        looks.open(page, "/questions")
        looks.open(page, _path(page, '[data-row][href*="/questions/"]'))
        shot(page, "question")
        looks.open(page, "/charts/curves?score=0.5")
        shot(page, "curves")
        take_map(looks, page)
        take_frame(looks, page, needle)
    for name, width, scheme in (("dark", 1440, "dark"), ("phone", 390, "light")):
        with looks.window(width, "dark" if scheme == "dark" else "light") as page:
            looks.open(page, needle)
            shot(page, name)


def take_map(looks: Looks, page: Page) -> None:
    """The map with some regions circled."""
    looks.computed(page, "/map", "canvas.region-map")
    page.wait_for_selector("canvas[data-drawn]")
    page.get_by_role("button", name="Circle regions").click()
    corners = ((0.6, 0.05), (0.66, 0.02), (0.78, 0.22), (0.75, 0.29), (0.68, 0.18))
    drag(page, "canvas.region-map", *corners)
    shot(page, "map")


def take_frame(looks: Looks, page: Page, needle: str) -> None:
    """The editor of a frame's boxes, and a search by a part of the frame."""
    looks.open(page, needle)
    frame = _path(page, 'a[href*="/frames?id="]')
    looks.open(page, frame.replace("/frames?", "/frames/boxes?"))
    drag(page, "svg.editor", (0.37, 0.56), (0.58, 0.6))
    page.keyboard.type("crossing")
    page.keyboard.press("Enter")
    shot(page, "boxes")
    looks.open(page, frame)
    page.get_by_role("button", name="Draw it").click()
    drag(page, ".frame-columns .picture", (0.645, 0.4), (0.675, 0.475))
    page.wait_for_selector(".found-frames")
    page.wait_for_load_state("networkidle")
    shot(page, "similar")


def take_the_end(looks: Looks, needle: str) -> None:
    """Decide all that is left, and show what it bought."""
    with looks.window() as page:
        looks.open(page, f"{needle}?stage=todo")
        while not page.locator(".finished").count():
            decide(page, most=10)
            # The last verdict leads on.
            page.wait_for_selector(f"{_UNDECIDED}, .finished")
        frames = page.inner_text(".finished").partition(" frames decided")[0].split()[-1]
        looks.computed(page, "/done", f"td:has-text('by repairing {frames} reviewed')")
        shot(page, "done", of="main")


def take_every(looks: Looks, needle: str, folder: Path) -> None:
    """Every page in every look, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {**_PAGES, "needle": needle}
    for width in _HEIGHTS:
        for scheme in _SCHEMES:
            with looks.window(width, scheme) as page:
                for name, path in pages.items():
                    looks.open(page, path)
                    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")


def drag(page: Page, selector: str, *corners: tuple[float, float]) -> None:
    """Drag along these points of an element, as shares of its sides."""
    place = page.locator(selector).first.bounding_box()
    assert place is not None
    for number, (x, y) in enumerate(corners):
        page.mouse.move(place["x"] + x * place["width"], place["y"] + y * place["height"], steps=5)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def _path(page: Page, selector: str) -> str:
    """The path of the first link that the selector finds, below the page's root."""
    return (page.locator(selector).first.get_attribute("href") or "").removeprefix("/review")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("demo-data"), help="copied, if it exists")
    parser.add_argument("--every", type=Path, metavar="DIR")
    options = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        sys.exit("no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        data = Path(name) / "demo"
        if options.data.exists():
            shutil.copytree(options.data, data)
        with served(data) as demo:
            demo.raise_a_question(Path(name) / "answers")
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            looks = Looks(browser, demo.url, demo.token("Ana"))
            with looks.window() as page:
                needle = first_needle(looks, page)
            take_pages(looks, needle)
            if options.every:
                take_every(looks, needle, options.every)
            take_the_end(looks, needle)
            browser.close()


if __name__ == "__main__":
    main()

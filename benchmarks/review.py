"""How soon the review page is there: many needles with shortlists, a real mongod, a real browser.

    python -m benchmarks.review                    # 10,000 needles of ten candidates
    python -m benchmarks.review --needles 1000 --repeats 10

Chromium is driven by Playwright over loopback, a new session each time, and everything runs on one
machine. Printed are the median and 95th percentile in milliseconds: of a page's first paint; of the
next fifty needles, from the click until they are drawn; of the next needle, from the key until it
is drawn; of the map of 100,000 regions, until it is drawn; and of one step of its zoom. Without a
browser nothing is measured.
"""

import argparse
import asyncio
import json
import random
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, StorageState, ViewportSize, sync_playwright

from benchmarks.pictures import drawn_picture, stored_picture
from services.annotation.review.app import build_review_app
from services.annotation.review.context import review_context
from services.annotation.review.sessions import Account
from services.annotation.stores.opening import open_annotation_stores
from services.contracts.events import (
    Detection,
    ErrorType,
    FrameAnnotated,
    FrameCaptured,
    Image,
    Position,
    PredictionsMade,
)
from services.contracts.identity import (
    Box,
    Category,
    DetectorId,
    DriveId,
    FrameId,
    ModelId,
    VehicleId,
    needle_id,
)
from services.contracts.needles import Candidate, NeedleFound, Provenance, ShortlistPublished
from services.domain.ports.region_maps import MappedRegion, RegionMap
from services.runtime.clock import SystemClock
from services.runtime.embedded.mongod import Mongod
from services.runtime.http.tokens import Authenticator, issue
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores, open_stores

_CATEGORIES = ("stop sign", "speed limit", "traffic light", "crossing")
_DETECTOR = DetectorId("bench@1")
_START = datetime(2026, 5, 4, tzinfo=UTC)
_SIZE, _BLOCKS = (1280, 720), (32, 18)
_PICTURES = 60
_CANDIDATES = 10
_BATCH = 500
_PER_DRIVE = 50
_REGIONS = 100_000
_PAINTED = """() => new Promise((done) => new PerformanceObserver((list) => {
    const paint = list.getEntriesByName("first-contentful-paint")[0];
    if (paint) done(paint.startTime);
}).observe({type: "paint", buffered: true}))"""
_NEXT_PAGE = """() => new Promise((done) => {
    const more = document.querySelector(".more a");
    const began = performance.now();
    document.addEventListener("htmx:afterSettle", () => requestAnimationFrame(
        () => setTimeout(() => done(performance.now() - began))), {once: true});
    more.click();
})"""

_MAP_DRAWN = """() => new Promise((done) => {
    const look = () => document.querySelector("canvas[data-drawn]")
        ? done(performance.now()) : requestAnimationFrame(look);
    look();
})"""
_MAP_ZOOMED = """() => new Promise((done) => {
    const canvas = document.querySelector("canvas.region-map");
    const began = performance.now();
    canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: -30, cancelable: true}));
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""
_NEXT_NEEDLE = """() => new Promise((done) => {
    const began = performance.now();
    document.addEventListener("htmx:afterSettle", () => requestAnimationFrame(
        () => setTimeout(() => done(performance.now() - began))), {once: true});
    document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "j", bubbles: true}));
})"""


class NoOutbox:
    """Nothing is corrected here, so nothing is published."""

    async def publish(self, events: Sequence[object]) -> None:
        """Refuse."""
        raise NotImplementedError(f"{len(events)} events")


class World:
    """Frames with pictures, and needles that shortlist them."""

    def __init__(self, stores: Stores, needles: int) -> None:
        self._stores = stores
        self._needles = needles
        self._draw = random.Random(7)  # noqa: S311  # a benchmark's needles
        self._images = [self._image(number) for number in range(_PICTURES)]

    async def fill(self) -> None:
        """Write all of it."""
        frames = max(self._needles // 2, _CANDIDATES + 1)
        made: dict[int, PredictionsMade] = {}
        for start in range(0, frames, _BATCH):
            facts = [self._facts(number) for number in range(start, min(start + _BATCH, frames))]
            await self._stores.frames.record([fact for item in facts for fact in item])
            made |= {start + at: item[1] for at, item in enumerate(facts)}
        for start in range(0, self._needles, _BATCH):
            numbers = range(start, min(start + _BATCH, self._needles))
            found = [self._needle(made[item % frames], item // frames) for item in numbers]
            await self._stores.needles.record(found)
            lists = [self._shortlist(needle, made, frames) for needle in found]
            await self._stores.needles.write_shortlists(lists)
        regions = [self._region(made[number % frames]) for number in range(_REGIONS)]
        await self._stores.region_maps.put(RegionMap(ModelId("bench"), regions))

    def _region(self, made: PredictionsMade) -> MappedRegion:
        place = self._draw.randrange(len(made.detections))
        detection = made.detections[place]
        return MappedRegion(
            round(self._draw.gauss(0, 1), 4),
            round(self._draw.gauss(0, 1), 4),
            made.region_ids()[place],
            made.frame_id,
            _DETECTOR,
            detection.category,
            detection.score,
            detection.bbox,
            "haystack",
            "v1",
        )

    def _image(self, number: int) -> Image:
        return stored_picture(self._stores, drawn_picture(number, _SIZE, _BLOCKS), _SIZE)

    def _box(self) -> Box:
        return (self._draw.uniform(0, 1200), self._draw.uniform(0, 640), 60.0, 60.0)

    def _facts(self, number: int) -> tuple[FrameCaptured, PredictionsMade, FrameAnnotated]:
        frame_id = FrameId(f"bench-{number:06d}")
        at = Position(lat=52.5 + number / 50_000, lon=13.4 + (number % 300) / 7000)
        captured = FrameCaptured(
            frame_id=frame_id,
            vehicle_id=VehicleId("v1"),
            drive_id=DriveId(f"drive-{number // _PER_DRIVE}"),
            captured_at=_START + timedelta(seconds=number),
            position=at,
            image=self._images[number % _PICTURES],
        )
        scores = (self._draw.uniform(0.3, 1) for _ in range(4))
        detections = tuple(
            Detection(
                category=Category(self._draw.choice(_CATEGORIES)), score=score, bbox=self._box()
            )
            for score in scores
        )
        predictions = PredictionsMade(
            frame_id=frame_id, detector="bench", version="1", detections=detections
        )
        return captured, predictions, FrameAnnotated(frame_id=frame_id, annotations=())

    def _needle(self, made: PredictionsMade, place: int) -> NeedleFound:
        detection, region = made.detections[place], made.region_ids()[place]
        number = int(made.frame_id.rpartition("-")[2])
        return NeedleFound(
            needle_id=needle_id(region),
            revision=1,
            frame_id=made.frame_id,
            detector=_DETECTOR,
            category=detection.category,
            region_id=region,
            score=detection.score,
            bbox=detection.bbox,
            error_type=ErrorType.BACKGROUND,
            drive_id=DriveId(f"drive-{number // _PER_DRIVE}"),
            captured_at=_START + timedelta(seconds=number),
        )

    def _shortlist(
        self, found: NeedleFound, made: dict[int, PredictionsMade], frames: int
    ) -> ShortlistPublished:
        candidates = []
        for number in self._draw.sample(range(frames), _CANDIDATES):
            detection = made[number].detections[3]
            candidates.append(
                Candidate(
                    frame_id=made[number].frame_id,
                    region_id=made[number].region_ids()[3],
                    category=detection.category,
                    score=detection.score,
                    bbox=detection.bbox,
                    similarity=self._draw.uniform(0.5, 1),
                    evidence=1.0,
                    drive_id=DriveId(f"drive-{number // _PER_DRIVE}"),
                    captured_at=_START + timedelta(seconds=number),
                    image_uri="none",
                )
            )
        return ShortlistPublished(
            needle_id=found.needle_id,
            revision=1,
            needle=found,
            candidates=tuple(candidates),
            provenance=Provenance(model=ModelId("bench"), strategy="bench", size_limit=10),
        )


@contextmanager
def served(needles: int) -> Iterator[tuple[str, str]]:
    """The page's address and a token for it."""
    listening = socket.create_server(("127.0.0.1", 0))
    servers: list[uvicorn.Server] = []
    ready, tokens = threading.Event(), list[str]()

    async def serve(folder: Path, url: str) -> None:
        settings = Settings(data=folder, mongodb=url, mongodb_database="bench")
        clock = SystemClock()
        async with open_stores(settings, "no broker") as shared:
            stores = await open_annotation_stores(shared)
            await World(stores, needles).fill()
            token, record = issue("annotation:bench", clock.now())
            await stores.tokens.add(record)
            callers = Authenticator(stores.tokens, clock)

            async def who(presented: str) -> Account | None:
                caller = await callers.caller(presented)
                return Account(caller.token_id, caller.person) if caller and caller.person else None

            server = FastAPI()
            context = review_context(stores, NoOutbox(), settings, clock, authenticate=who)
            server.mount("/review", build_review_app(context))
            config = uvicorn.Config(server, log_level="warning", lifespan="off")
            servers.append(uvicorn.Server(config))
            tokens.append(token)
            ready.set()
            await servers[0].serve(sockets=[listening])

    with tempfile.TemporaryDirectory() as name, Mongod(Path(name) / "mongod") as mongod:
        thread = threading.Thread(target=lambda: asyncio.run(serve(Path(name), mongod.url)))
        thread.start()
        while not ready.wait(1):
            if not thread.is_alive():
                sys.exit("the page could not be served")
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/review", tokens[0]
        finally:
            servers[0].should_exit = True
            thread.join()


class Visitor:
    """Somebody with a browser that has seen nothing yet."""

    def __init__(self, browser: Browser, url: str, state: StorageState) -> None:
        self._url = url
        size: ViewportSize = {"width": 1280, "height": 860}
        self._context = browser.new_context(viewport=size, storage_state=state)
        self._page: Page = self._context.new_page()

    def first_paint(self, path: str) -> float:
        """Of this page, in milliseconds."""
        self._page.goto(f"{self._url}{path}")
        return float(self._page.evaluate(_PAINTED))

    def next_page(self) -> float:
        """Of the list that is open."""
        return float(self._page.evaluate(_NEXT_PAGE))

    def next_needle(self) -> float:
        """After the one that is open: from the key until it is drawn."""
        return float(self._page.evaluate(_NEXT_NEEDLE))

    def map_drawn(self) -> float:
        """From the request for the map's page until its points are drawn."""
        self._page.goto(f"{self._url}/map")
        return float(self._page.evaluate(_MAP_DRAWN))

    def map_zoomed(self) -> float:
        """By one step of the wheel, on the map that is open."""
        return float(self._page.evaluate(_MAP_ZOOMED))

    def first_needle(self, view: str) -> str:
        """The path of the first needle of a view."""
        self._page.goto(f"{self._url}/needles{view}")
        href = self._page.locator("[data-row] >> nth=0").get_attribute("href")
        return (href or "").removeprefix("/review")

    def leave(self) -> None:
        """Forget everything."""
        self._context.close()


def logged_in(browser: Browser, url: str, token: str) -> StorageState:
    """The cookie, once for all: more than twenty attempts a minute are refused."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("#token", token)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")
    state = context.storage_state()
    context.close()
    return state


def measured(
    browser: Browser, url: str, state: StorageState, repeats: int
) -> Iterator[tuple[str, list[float]]]:
    """What was measured, and the milliseconds."""

    def measures(measure: Callable[[Visitor], float]) -> list[float]:
        times = []
        for _ in range(repeats):
            visitor = Visitor(browser, url, state)
            times.append(measure(visitor))
            visitor.leave()
        return times

    def several(path: Callable[[Visitor], str], measure: Callable[[Visitor], float]) -> list[float]:
        visitor = Visitor(browser, url, state)
        visitor.first_paint(path(visitor))
        times = [measure(visitor) for _ in range(repeats)]
        visitor.leave()
        return times

    for name, path in (
        ("failure modes", "/"),
        ("needles", "/needles"),
        ("needles of a category", "/needles?category=stop+sign"),
        ("needles to review", "/needles?stage=todo"),
        ("page 150 of the needles", "/needles?page=150"),
    ):
        yield f"first paint, {name}", measures(lambda visitor, path=path: visitor.first_paint(path))  # type: ignore[misc]  # mypy cannot infer it
    yield f"map of {_REGIONS:,} regions", measures(Visitor.map_drawn)
    yield "zoom of the map", several(lambda _: "/map", Visitor.map_zoomed)
    for name, view in (
        ("all", ""),
        ("a category", "?category=stop+sign"),
        ("to review", "?stage=todo"),
    ):
        yield (
            f"next page of fifty, {name}",
            several(lambda _, view=view: f"/needles{view}", Visitor.next_page),  # type: ignore[misc]  # mypy cannot infer it
        )
        yield (
            f"next needle, {name}",
            several(lambda visitor, view=view: visitor.first_needle(view), Visitor.next_needle),  # type: ignore[misc]  # mypy cannot infer it
        )


def main() -> None:
    """Print a line of JSON for each thing that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--needles", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        sys.exit("no chromium: apt-get install chromium")
    with served(options.needles) as (url, token), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        state = logged_in(browser, url, token)
        for what, times in measured(browser, url, state, options.repeats):
            median, p95 = np.percentile(times, [50, 95])
            figures = {"what": what, "median_ms": round(median), "p95_ms": round(p95)}
            sys.stdout.write(json.dumps(figures) + "\n")
        browser.close()


if __name__ == "__main__":
    main()

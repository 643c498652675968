"""A served review page and Debian's chromium; without a browser, CI fails and others skip."""

import asyncio
import os
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from services.annotation.review.app import build_review_app
from services.annotation.review.similar import SimilarThings
from services.domain.ports.family_marks import Mark
from services.runtime.settings import Settings
from tests.e2e.review.network import Network
from tests.fakes.similar import SlantedEmbedder, four_things
from tests.review_world import (
    Seed,
    ask,
    needle_id_of,
    report_budgets,
    review_world,
    seeded,
    show_curves,
    show_gains,
    show_map,
)

with warnings.catch_warnings():
    # Playwright's greenlet is imported here for the first time; its warnings are not ours.
    warnings.simplefilter("ignore")
    from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_MS = 240_000
"""A loaded machine is slow, which is no failure."""
expect.set_options(timeout=PATIENCE_MS)
CHROMIUM = "/usr/bin/chromium"
NEEDLES = 15
SENT = 'body[data-unsent="0"]'
"""All that was done on the page has reached the server; the page shows it before."""
IDLE = f"{SENT}:not(.busy)"
"""Nor does the page wait for an answer or another page, holding the keys that are typed."""
SCHEMES = ("light", "dark")
WIDTHS = (1280, 390)
START_S = 300
"""A loaded machine has needed more than a minute to serve the page."""
AXE = Path(__file__).parent / "axe-4.14.1.min.js"


@dataclass(frozen=True)
class Site:
    """Where the page is served, two annotators' tokens, and what lies between it and browsers."""

    url: str
    token: str
    """Ana's."""
    bens_token: str
    network: Network
    settings: Settings


# Per module: while Playwright runs, its loop is this thread's, and no other test may have one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("GAZELOOP_CHROMIUM") or shutil.which("chromium") or CHROMIUM
    if not Path(program).exists():
        missing = "no chromium: apt-get install chromium, or set GAZELOOP_CHROMIUM to a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=PATIENCE_MS
        )
        chromium.on("context", lambda context: context.set_default_timeout(PATIENCE_MS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def seed(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_of(mongodb_url, tmp_path_factory.mktemp("review"), NEEDLES)


def seed_of(mongodb_url: str, folder: Path, needles: int) -> Seed:
    """A new world; made in a thread, since Playwright's loop may run in this one."""
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(lambda: asyncio.run(seeded(mongodb_url, folder, needles=needles)))
        return made.result()


@pytest.fixture
def site(seed: Seed) -> Iterator[Site]:
    with served(seed) as site:
        yield site


@contextmanager
def served(seed: Seed) -> Iterator[Site]:
    """The page on a free port, in a thread with a loop of its own."""
    network = Network()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    serving: list[uvicorn.Server] = []
    ready, tokens = threading.Event(), list[str]()

    async def serve() -> None:
        async with review_world(seed) as world:
            server = FastAPI()
            similar = SimilarThings(await four_things(), SlantedEmbedder())
            server.mount("/review", build_review_app(replace(world.context, similar=similar)))
            config = uvicorn.Config(network.before(server), log_level="warning", lifespan="off")
            serving.append(uvicorn.Server(config))
            tokens.extend((world.token, await world.token_of("Ben")))
            await ask(world.stores)
            await report_budgets(world.stores)
            await show_curves(world.stores)
            await show_map(world.stores)
            await show_gains(world.stores, world.clock.now())
            family = {
                needle_id_of(0): Mark("family-1", exemplar=True),
                needle_id_of(2): Mark("family-1"),
            }
            await world.stores.family_marks.show(family, world.clock.now())
            ready.set()
            await serving[0].serve(sockets=[listening])

    # A daemon: where a start fails, its thread must not keep the run from ending.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started = time.monotonic()
    while not ready.wait(1):
        assert thread.is_alive()
        assert time.monotonic() < started + START_S
    anas, bens = tokens
    try:
        yield Site(f"http://127.0.0.1:{port}/review", anas, bens, network, seed.settings)
    finally:
        serving[0].should_exit = True
        thread.join(START_S)
    assert not thread.is_alive()


def shown(page: Page, selector: str) -> None:
    """Wait for a page, and for its script, before which no key does anything."""
    page.wait_for_selector(selector)
    page.wait_for_load_state("load")


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def page(browser: Browser, site: Site, scheme: str, width: int) -> Iterator[Page]:
    """Somebody logged in, on the list of needles."""
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console", lambda message: wrong.append(message.text) if message.type == "error" else None
    )
    page.goto(f"{site.url}/needles")
    page.fill("#token", site.token)
    page.keyboard.press("Enter")
    shown(page, "table.needles")
    yield page
    context.close()
    # A refusal (409) is shown, and Chromium also writes it to the console.
    assert [name for name in wrong if "409" not in name] == []

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from services.annotation.review.app import build_review_app
from tests.review_world import Seed, World, review_world, seeded

BASE = "http://testserver/review"


class Browser:
    """Somebody with a browser, logged in or not."""

    def __init__(self, world: World, app: FastAPI) -> None:
        self.world = world
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url=BASE)
        self.csrf = ""

    async def log_in(self, name: str) -> None:
        token = self.world.token if name == "Ana" else await self.world.token_of(name)
        answer = await self.post_raw("/login", {"token": token})
        assert answer.status_code == 303, answer.text
        page = (await self.get("/needles")).text
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
        assert found is not None
        self.csrf = found[1]

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(f"{BASE}{path}", headers=headers)

    async def post(self, path: str, data: dict[str, object], **headers: str) -> httpx.Response:
        return await self.post_raw(path, {"csrf": self.csrf, **data}, **headers)

    async def post_raw(self, path: str, data: dict[str, object], **headers: str) -> httpx.Response:
        return await self.client.post(f"{BASE}{path}", data=data, headers=headers)


@pytest.fixture(scope="session")
def seed(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return asyncio.run(seeded(mongodb_url, tmp_path_factory.mktemp("review")))


@pytest.fixture
async def world(seed: Seed) -> AsyncIterator[World]:
    async with review_world(seed) as world:
        yield world


def served(world: World) -> FastAPI:
    server = FastAPI()
    server.mount("/review", build_review_app(world.context))
    return server


@pytest.fixture
def app(world: World) -> FastAPI:
    return served(world)


@pytest.fixture
async def visitor(world: World, app: FastAPI) -> AsyncIterator[Browser]:
    browser = Browser(world, app)
    yield browser
    await browser.client.aclose()


@pytest.fixture
async def ana(world: World, app: FastAPI) -> AsyncIterator[Browser]:
    browser = Browser(world, app)
    await browser.log_in("Ana")
    yield browser
    await browser.client.aclose()


@pytest.fixture
async def ben(world: World, app: FastAPI) -> AsyncIterator[Browser]:
    browser = Browser(world, app)
    await browser.log_in("Ben")
    yield browser
    await browser.client.aclose()

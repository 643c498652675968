"""What the service does beside its topics: there and back, without a command."""

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from services.annotation.label_studio import pushing
from services.annotation.label_studio.project import ensure_project, ensure_webhook
from services.annotation.label_studio.pulling import Puller
from services.annotation.label_studio.service import SyncLoop
from services.app.label_studio_parts import carrying
from services.app.label_studio_routes import outside_routes
from services.contracts.errors import InvalidRecord, ToolUnavailable
from services.runtime.clock import SystemClock
from services.runtime.http.server import serving_http
from tests.captured_logs import captured_logs
from tests.deadline import until
from tests.integration.label_studio import server as real
from tests.integration.label_studio.conftest import REDACTION, Studio, studio_on
from tests.integration.label_studio.test_pulling import FRAME, box
from tests.ports import free_ports


async def test_label_studio_tells_us_of_what_is_submitted(
    server: real.Server, mongodb_url: str, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    reached = {
        "public_url": f"http://127.0.0.1:{port}",
        "label_studio_webhook_secret": SecretStr("only we know"),
        "label_studio_poll_s": 600.0,  # so that nothing but the webhook brings it
    }
    async with studio_on(server, mongodb_url, tmp_path, **reached) as studio:
        app = FastAPI()
        for router in outside_routes(studio.stores, studio.settings, SystemClock()):
            app.include_router(router)
        async with (
            serving_http(app, "127.0.0.1", port, drain_s=1),
            carrying(studio.stores, studio.outbox, studio.settings, SystemClock()),
        ):
            await until(lambda: is_pushed(studio) and is_subscribed(studio))
            task = int(studio.task_of(FRAME)["id"])
            await asyncio.to_thread(studio.server.submit, task, [box()])
            await until(lambda: bool(studio.corrections))

    (correction,) = studio.corrections
    assert (correction.frame_id, correction.revision) == (FRAME, 2)


async def test_an_address_that_label_studio_may_not_call_is_told_with_what_to_do(
    server: real.Server, mongodb_url: str, tmp_path: Path
) -> None:
    refused = {
        "public_url": "ftp://ingest.example",
        "label_studio_webhook_secret": SecretStr("only we know"),
    }
    async with studio_on(server, mongodb_url, tmp_path, **refused) as studio:
        project, _ = await ensure_project(studio.parts.tool, studio.settings, studio.stores)
        with pytest.raises(InvalidRecord, match="USE_DEFAULT_BANNED_SUBNETS=false"):
            await ensure_webhook(studio.parts.tool, studio.settings, project)
        async with carrying(studio.stores, studio.outbox, studio.settings, SystemClock()):
            await until(lambda: is_pushed(studio))


async def test_the_webhook_is_asked_for_until_label_studio_answers_and_then_no_more(
    studio: Studio,
) -> None:
    asked = 0

    async def subscribe() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ToolUnavailable("away")

    parts, tasks = studio.parts, studio.stores.annotation_tasks
    loop = SyncLoop(parts.pusher, parts.puller, tasks, studio.clock, 60.0, subscribe)
    for _ in range(4):
        await loop.sync()

    assert asked == 2


async def test_a_stored_value_that_cannot_be_used_ends_nothing(
    studio: Studio,
) -> None:
    async def heard_of() -> None:
        """Label Studio may call us."""

    class FailingPuller(Puller):
        async def pull(self) -> NoReturn:
            raise ValueError("a stored value that nobody foresaw")

    puller = object.__new__(FailingPuller)
    tasks = studio.stores.annotation_tasks
    loop = SyncLoop(studio.parts.pusher, puller, tasks, studio.clock, 60.0, heard_of)

    assert [await loop.sync() for _ in range(3)] == [2.0, 4.0, 8.0]


async def test_hidden_images_are_looked_for_once_a_poll(
    server: real.Server, mongodb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def subscribe() -> None:
        """Label Studio may call us."""

    pushes = captured_logs(pushing, monkeypatch)
    async with studio_on(server, mongodb_url, tmp_path, **REDACTION) as studio:
        parts, tasks = studio.parts, studio.stores.annotation_tasks
        loop = SyncLoop(parts.pusher, parts.puller, tasks, studio.clock, 60.0, subscribe)
        for _ in range(3):
            await asyncio.wait_for(loop.sync(), 60)
        assert [push["waiting"] for push in pushes] == [4]

        studio.clock.advance(60)
        await loop.sync()
        assert [push["waiting"] for push in pushes] == [4, 4]


def is_subscribed(studio: Studio) -> bool:
    return bool(
        studio.server._get("/api/webhooks/", project=studio.server.project(studio.title)["id"])
    )


def is_pushed(studio: Studio) -> bool:
    titles = {item["title"] for item in studio.server._get("/api/projects")["results"]}
    return studio.title in titles and len(studio.server.tasks(studio.title)) == 4


async def test_what_is_asked_goes_out_and_what_is_submitted_comes_back(studio: Studio) -> None:
    quick = studio.settings.model_copy(update={"label_studio_poll_s": 0.2})

    async with carrying(studio.stores, studio.outbox, quick, SystemClock()):
        await until(lambda: is_pushed(studio))
        studio.server.submit(int(studio.task_of(FRAME)["id"]), [box()])
        await until(lambda: bool(studio.corrections))

    (correction,) = studio.corrections
    assert (correction.frame_id, correction.revision) == (FRAME, 2)

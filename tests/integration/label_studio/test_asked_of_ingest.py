"""What Label Studio and browsers ask of ingest: webhooks with the secret, images by signed link."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from services.annotation.label_studio.links import LASTING
from services.annotation.label_studio.project import (
    EVENTS_PATH,
    SECRET_HEADER,
    ensure_project,
    ensure_webhook,
)
from services.app.doctor.tools import look_at_label_studio
from services.app.label_studio_routes import outside_routes
from services.runtime.http.answers import add_answers
from tests.integration.doctor.conftest import findings_of
from tests.integration.label_studio import server as real
from tests.integration.label_studio.conftest import Studio, studio_on
from tests.review_world import picture

INGEST = "http://127.0.0.1:8000"
SECRET = "only we know"


@pytest.fixture
async def reached(
    server: real.Server, mongodb_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Studio, httpx.AsyncClient]]:
    """A studio whose ingest Label Studio can reach, and somebody who asks."""
    wanted = {"public_url": INGEST, "label_studio_webhook_secret": SecretStr(SECRET)}
    async with studio_on(server, mongodb_url, tmp_path, **wanted) as studio:
        app = FastAPI()
        add_answers(app)
        for router in outside_routes(studio.stores, studio.settings, studio.clock):
            app.include_router(router)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=INGEST) as asking:
            yield studio, asking


async def test_a_task_shows_its_image_by_a_link_that_ends(
    reached: tuple[Studio, httpx.AsyncClient],
) -> None:
    studio, asking = reached
    await studio.parts.pusher.push()

    link = studio.task_of("h000-0")["data"]["image"]
    assert (await asking.get(link)).content == picture("h000-0", 0)
    other = link.replace("h000-0", "h000-1")
    assert (await asking.get(other)).status_code == 403
    studio.clock.advance((LASTING + timedelta(hours=1)).total_seconds())
    assert (await asking.get(link)).status_code == 403


async def test_only_who_knows_the_secret_is_heard(
    reached: tuple[Studio, httpx.AsyncClient],
) -> None:
    studio, asking = reached
    for headers, status in (
        ({}, 401),
        ({SECRET_HEADER: "no"}, 401),
        ({SECRET_HEADER: SECRET}, 202),
    ):
        assert (await asking.post(EVENTS_PATH, headers=headers)).status_code == status
    state = await studio.stores.annotation_tasks.state()
    assert (state.webhooks, state.webhooks_followed) == (1, 0)


async def test_the_webhook_is_registered_once(
    reached: tuple[Studio, httpx.AsyncClient],
) -> None:
    studio, _ = reached
    assert "does not exist" in findings_of(
        await look_at_label_studio(studio.settings), "label_studio"
    )
    project, _ = await ensure_project(studio.parts.tool, studio.settings, studio.stores)
    found = findings_of(await look_at_label_studio(studio.settings), "label_studio")
    assert "no webhook to" in found
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in found
    for _ in range(2):
        url = await ensure_webhook(studio.parts.tool, studio.settings, project)
        assert url is not None
        assert urlsplit(url).path == EVENTS_PATH

    (webhook,) = await studio.parts.tool.webhooks(project)
    assert "changes are sent to" in findings_of(
        await look_at_label_studio(studio.settings), "label_studio"
    )
    assert webhook["url"] == url
    assert webhook["headers"] == {SECRET_HEADER: SECRET}

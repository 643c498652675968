"""Shortlists become tasks of a real Label Studio: once, filled in, and gone when nobody asks."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.annotation.label_studio.client import LabelStudio
from services.annotation.label_studio.plans import Pushed
from services.annotation.label_studio.tasks import Json
from services.annotation.ports.annotation_tasks import TaskStatus
from services.app.label_studio_parts import label_studio
from services.contracts.errors import InvalidSettings, ToolUnavailable
from services.contracts.events import PredictionsMade
from services.contracts.identity import FrameId
from services.runtime.stores.mongo import connected
from services.runtime.stores.retention_mongo import MongoRetention
from tests.integration.label_studio import server as real
from tests.integration.label_studio.conftest import REDACTION, Studio, studio_on
from tests.review_world import HEIGHT, REGION, WIDTH, picture, shortlist


class CutOff:
    """A connection that ends after the tasks are made and before we are told."""

    def __init__(self, tool: LabelStudio) -> None:
        self._tool = tool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)

    async def create_tasks(self, project: int, tasks: list[Json]) -> list[int]:
        await self._tool.create_tasks(project, tasks)
        raise ToolUnavailable("the line is dead")


async def test_a_shortlist_becomes_tasks_with_what_is_asked_filled_in(studio: Studio) -> None:
    pushed = await studio.parts.pusher.push()

    assert pushed == Pushed(created=4)
    tasks = studio.server.tasks(studio.title)
    assert [task["data"]["frame_id"] for task in tasks] == [f"h000-{at}" for at in range(4)]
    first = tasks[0]
    assert first["data"]["ground_truth_revision"] == 1
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == studio.server.project(studio.title)["model_version"]
    assert prediction["score"] == pytest.approx(0.9)
    truth, sign, asked = prediction["result"]
    assert truth["value"]["rectanglelabels"] == ["stop sign"]
    assert sign["value"]["rectanglelabels"] == ["yield"]
    needle = await studio.shortlist()
    assert asked["meta"]["needle_id"] == needle.needle_id
    assert asked["score"] == pytest.approx(0.9)
    assert asked["value"]["x"] == pytest.approx(REGION[0] / WIDTH * 100)
    assert asked["value"]["height"] == pytest.approx(REGION[3] / HEIGHT * 100)


async def test_an_image_is_shown_to_whoever_is_in_and_to_nobody_else(studio: Studio) -> None:
    await studio.parts.pusher.push()

    path = studio.server.tasks(studio.title)[0]["data"]["image"]
    assert studio.server.person.get(path).content == picture("h000-0", 0)
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(f"{studio.server.url}{path}")).status_code == 401


async def test_a_frame_whose_image_is_hidden_waits_and_the_others_are_pushed(
    server: real.Server, mongodb_url: str, tmp_path: Path
) -> None:
    async with studio_on(server, mongodb_url, tmp_path, **REDACTION) as studio:
        hidden = {FrameId(f"h000-{place}") for place in range(4)}
        seen = PredictionsMade(frame_id=hidden.pop(), detector="faces", version="1", detections=())
        await studio.stores.frames.record([seen])

        pushed = await asyncio.wait_for(studio.parts.pusher.push(), 60)

        assert pushed == Pushed(created=1, waiting=hidden)
        due = await studio.stores.annotation_tasks.due(9)
        assert {record.frame_id for record in due} == hidden


async def test_a_frame_whose_image_was_too_old_is_refused_once(
    studio: Studio,
) -> None:
    async with connected(studio.settings) as database:
        await MongoRetention(database).note_images_deleted([FrameId("h000-0")])

    assert await studio.parts.pusher.push() == Pushed(created=3, refused=1)
    assert await studio.parts.pusher.push() == Pushed()
    assert (await studio.stores.annotation_tasks.counts())[TaskStatus.REFUSED] == 1


async def test_what_is_there_is_not_pushed_again(studio: Studio) -> None:
    await studio.parts.pusher.push()
    await studio.stores.annotation_tasks.ask([await studio.shortlist()])

    assert await studio.parts.pusher.push() == Pushed()
    assert len(studio.server.tasks(studio.title)) == 4


async def test_a_push_that_is_cut_off_before_it_is_noted_pushes_nothing_twice(
    studio: Studio,
) -> None:
    whole, tool = studio.parts.pusher, CutOff(studio.parts.tool)
    maker = replace(whole.maker, tool=tool)  # type: ignore[arg-type]  # it stands in for the client
    cut = replace(whole, tool=tool, maker=maker)  # type: ignore[arg-type]  # here too
    with pytest.raises(ToolUnavailable, match="dead"):
        await cut.push()

    assert await studio.parts.pusher.push() == Pushed(adopted=4)
    assert len(studio.server.tasks(studio.title)) == 4


async def test_a_project_whose_record_is_lost_is_taken_up_again(studio: Studio) -> None:
    await studio.parts.pusher.push()
    for place in range(4):
        frame_id = FrameId(f"h000-{place}")
        await studio.stores.annotation_tasks.note(frame_id, task_id=None, asked="")
    await studio.stores.annotation_tasks.note_state(project=None)
    await studio.stores.annotation_tasks.ask([await studio.shortlist()])

    pushed = await studio.parts.pusher.push()

    assert pushed == Pushed(adopted=4)
    assert len(studio.server.tasks(studio.title)) == 4


async def test_only_one_process_pushes_at_a_time(studio: Studio) -> None:
    tasks, now = studio.stores.annotation_tasks, studio.clock.now()
    lasting = studio.clock.now().replace(hour=12) - now
    assert await tasks.lease("somebody else", now, lasting)

    with pytest.raises(ToolUnavailable, match="another process"):
        await studio.parts.pusher.push()
    studio.clock.advance(lasting.total_seconds())
    assert (await studio.parts.pusher.push()).created == 4


async def test_what_nobody_asks_any_more_goes_away_unless_somebody_is_at_it(studio: Studio) -> None:
    await studio.parts.pusher.push()
    begun = studio.task_of("h000-1")
    studio.server.draft(begun["id"], [])
    asked = await studio.shortlist()
    await studio.stores.annotation_tasks.ask([shortlist(asked.needle, [], revision=2)])

    pushed = await studio.parts.pusher.push()

    assert (pushed.withdrawn, pushed.left) == (3, 1)
    (left,) = studio.server.tasks(studio.title)
    assert left["id"] == begun["id"]
    assert left["data"]["gazeloop"].startswith("withdrawn")
    assert (await studio.parts.pusher.push()) == Pushed()


async def test_a_task_that_asks_something_else_by_now_is_made_anew(studio: Studio) -> None:
    await studio.parts.pusher.push()
    asked = await studio.shortlist()
    again = [
        candidate.model_copy(update={"bbox": (5.0, 5.0, 20.0, 20.0)})
        for candidate in asked.candidates
    ]
    await studio.stores.annotation_tasks.ask([shortlist(asked.needle, again, revision=2)])

    assert (await studio.parts.pusher.push()).changed == 4
    tasks = studio.server.tasks(studio.title)
    assert len(tasks) == 4
    assert tasks[0]["predictions"][0]["result"][-1]["value"]["x"] == pytest.approx(5 / WIDTH * 100)


async def test_a_label_that_the_project_lacks_is_added_to_the_team_s_own_interface(
    studio: Studio,
) -> None:
    team = (
        '<View><Header value="Ours"/><Image name="photo" value="$picture"/>'
        '<RectangleLabels name="box" toName="photo"><Label value="tree"/></RectangleLabels></View>'
    )
    await studio.parts.tool.create_project(title=studio.title, label_config=team)

    await studio.parts.pusher.push()

    config = studio.server.project(studio.title)["label_config"]
    assert 'value="Ours"' in config
    assert all(f'value="{name}"' in config for name in ("tree", "stop sign", "yield"))
    task = studio.server.tasks(studio.title)[0]
    assert task["data"]["picture"].startswith("/data/upload/")
    assert {item["from_name"] for item in task["predictions"][0]["result"]} == {"box"}


async def test_a_wrong_token_is_told_without_being_shown(studio: Studio) -> None:
    secret = "aaaa.bbbb.cccc"
    wrong = studio.settings.model_copy(update={"label_studio_token": SecretStr(secret)})
    async with label_studio(studio.stores, studio.outbox, wrong, studio.clock) as parts:
        with pytest.raises(InvalidSettings, match="GAZELOOP_LABEL_STUDIO_TOKEN") as refused:
            await parts.pusher.push()
    assert secret not in str(refused.value)


async def test_a_task_that_somebody_has_deleted_is_not_pushed_again_of_itself(
    studio: Studio,
) -> None:
    await studio.parts.pusher.push()
    studio.server.delete(studio.task_of("h000-2")["id"])

    pulled = await studio.parts.puller.pull()
    await studio.stores.annotation_tasks.ask([await studio.shortlist()])

    assert pulled.deleted == 1
    assert (await studio.parts.pusher.push()) == Pushed(deleted=1)
    assert (await studio.stores.annotation_tasks.counts())[TaskStatus.DELETED] == 1
    await studio.stores.annotation_tasks.forget_deleted()
    assert (await studio.parts.pusher.push()) == Pushed(created=1)

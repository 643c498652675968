"""Shortlists become tasks of a real Label Studio: once, filled in, and gone when nobody asks."""

from dataclasses import replace
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
from services.contracts.identity import FrameId
from tests.integration.label_studio.conftest import Desk
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


async def test_a_shortlist_becomes_tasks_with_what_is_asked_filled_in(desk: Desk) -> None:
    pushed = await desk.parts.pusher.push()

    assert pushed == Pushed(created=4)
    tasks = desk.server.tasks(desk.title)
    assert [each["data"]["frame_id"] for each in tasks] == [f"h000-{at}" for at in range(4)]
    first = tasks[0]
    assert first["data"]["ground_truth_revision"] == 1
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == desk.server.project(desk.title)["model_version"]
    assert prediction["score"] == pytest.approx(0.9)
    truth, sign, asked = prediction["result"]
    assert truth["value"]["rectanglelabels"] == ["stop sign"]
    assert sign["value"]["rectanglelabels"] == ["yield"]
    needle = await desk.shortlist()
    assert asked["meta"]["needle_id"] == needle.needle_id
    assert asked["score"] == pytest.approx(0.9)
    assert asked["value"]["x"] == pytest.approx(REGION[0] / WIDTH * 100)
    assert asked["value"]["height"] == pytest.approx(REGION[3] / HEIGHT * 100)


async def test_an_image_is_shown_to_whoever_is_in_and_to_nobody_else(desk: Desk) -> None:
    await desk.parts.pusher.push()

    path = desk.server.tasks(desk.title)[0]["data"]["image"]
    assert desk.server.person.get(path).content == picture("h000-0", 0)
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(f"{desk.server.url}{path}")).status_code == 401


async def test_what_is_there_is_not_pushed_again(desk: Desk) -> None:
    await desk.parts.pusher.push()
    await desk.stores.annotation_tasks.ask([await desk.shortlist()])

    assert await desk.parts.pusher.push() == Pushed()
    assert len(desk.server.tasks(desk.title)) == 4


async def test_a_push_that_is_cut_off_before_it_is_noted_pushes_nothing_twice(desk: Desk) -> None:
    whole, tool = desk.parts.pusher, CutOff(desk.parts.tool)
    maker = replace(whole.maker, tool=tool)  # type: ignore[arg-type]  # it stands in for the client
    cut = replace(whole, tool=tool, maker=maker)  # type: ignore[arg-type]  # here too
    with pytest.raises(ToolUnavailable, match="dead"):
        await cut.push()

    assert await desk.parts.pusher.push() == Pushed(adopted=4)
    assert len(desk.server.tasks(desk.title)) == 4


async def test_a_project_whose_record_is_lost_is_taken_up_again(desk: Desk) -> None:
    await desk.parts.pusher.push()
    for place in range(4):
        frame_id = FrameId(f"h000-{place}")
        await desk.stores.annotation_tasks.note(frame_id, task_id=None, asked="")
    await desk.stores.annotation_tasks.note_state(project=None)
    await desk.stores.annotation_tasks.ask([await desk.shortlist()])

    pushed = await desk.parts.pusher.push()

    assert pushed == Pushed(adopted=4)
    assert len(desk.server.tasks(desk.title)) == 4


async def test_only_one_process_pushes_at_a_time(desk: Desk) -> None:
    tasks, now = desk.stores.annotation_tasks, desk.clock.now()
    lasting = desk.clock.now().replace(hour=12) - now
    assert await tasks.lease("somebody else", now, lasting)

    with pytest.raises(ToolUnavailable, match="another process"):
        await desk.parts.pusher.push()
    desk.clock.advance(lasting.total_seconds())
    assert (await desk.parts.pusher.push()).created == 4


async def test_what_nobody_asks_any_more_goes_away_unless_somebody_is_at_it(desk: Desk) -> None:
    await desk.parts.pusher.push()
    begun = desk.task_of("h000-1")
    desk.server.draft(begun["id"], [])
    asked = await desk.shortlist()
    await desk.stores.annotation_tasks.ask([shortlist(asked.needle, [], revision=2)])

    pushed = await desk.parts.pusher.push()

    assert (pushed.withdrawn, pushed.left) == (3, 1)
    (left,) = desk.server.tasks(desk.title)
    assert left["id"] == begun["id"]
    assert left["data"]["gazeloop"].startswith("withdrawn")
    assert (await desk.parts.pusher.push()) == Pushed()


async def test_a_task_that_asks_something_else_by_now_is_made_anew(desk: Desk) -> None:
    await desk.parts.pusher.push()
    asked = await desk.shortlist()
    again = [each.model_copy(update={"bbox": (5.0, 5.0, 20.0, 20.0)}) for each in asked.candidates]
    await desk.stores.annotation_tasks.ask([shortlist(asked.needle, again, revision=2)])

    assert (await desk.parts.pusher.push()).changed == 4
    tasks = desk.server.tasks(desk.title)
    assert len(tasks) == 4
    assert tasks[0]["predictions"][0]["result"][-1]["value"]["x"] == pytest.approx(5 / WIDTH * 100)


async def test_a_label_that_the_project_lacks_is_added_to_the_team_s_own_interface(
    desk: Desk,
) -> None:
    team = (
        '<View><Header value="Ours"/><Image name="photo" value="$picture"/>'
        '<RectangleLabels name="box" toName="photo"><Label value="tree"/></RectangleLabels></View>'
    )
    await desk.parts.tool.create_project(title=desk.title, label_config=team)

    await desk.parts.pusher.push()

    config = desk.server.project(desk.title)["label_config"]
    assert 'value="Ours"' in config
    assert all(f'value="{name}"' in config for name in ("tree", "stop sign", "yield"))
    task = desk.server.tasks(desk.title)[0]
    assert task["data"]["picture"].startswith("/data/upload/")
    assert {each["from_name"] for each in task["predictions"][0]["result"]} == {"box"}


async def test_a_wrong_token_is_told_without_being_shown(desk: Desk) -> None:
    secret = "aaaa.bbbb.cccc"
    wrong = desk.settings.model_copy(update={"label_studio_token": SecretStr(secret)})
    async with label_studio(desk.stores, desk.outbox, wrong, desk.clock) as parts:
        with pytest.raises(InvalidSettings, match="GAZELOOP_LABEL_STUDIO_TOKEN") as refused:
            await parts.pusher.push()
    assert secret not in str(refused.value)


async def test_a_task_that_somebody_has_deleted_is_not_pushed_again_of_itself(desk: Desk) -> None:
    await desk.parts.pusher.push()
    desk.server.delete(desk.task_of("h000-2")["id"])

    pulled = await desk.parts.puller.pull()
    await desk.stores.annotation_tasks.ask([await desk.shortlist()])

    assert pulled.deleted == 1
    assert (await desk.parts.pusher.push()) == Pushed(deleted=1)
    assert (await desk.stores.annotation_tasks.counts())[TaskStatus.DELETED] == 1
    await desk.stores.annotation_tasks.forget_deleted()
    assert (await desk.parts.pusher.push()) == Pushed(created=1)

from datetime import timedelta

import pytest

from services.annotation.ports.annotation_tasks import (
    AnnotationTasks,
    TaskRecord,
    TaskStatus,
    ToolState,
)
from services.annotation.stores.annotation_tasks_mongo import MongoAnnotationTasks
from services.contracts.identity import FrameId
from services.runtime.stores.mongo import Database
from tests.samples import CAPTURED_AT as NOW
from tests.samples import needle_found, shortlist_published

FIRST = FrameId("h1")
LASTING = timedelta(seconds=60)


@pytest.fixture
def tasks(empty_database: Database) -> AnnotationTasks:
    return MongoAnnotationTasks(empty_database)


async def due(tasks: AnnotationTasks) -> list[str]:
    return [record.frame_id for record in await tasks.due(100)]


async def settle(tasks: AnnotationTasks, *frame_ids: str) -> None:
    records = await tasks.of_frames([*map(FrameId, frame_ids)])
    for record in records.values():
        await tasks.settle(record)


async def test_a_shortlist_makes_its_frames_due(tasks: AnnotationTasks) -> None:
    await tasks.ask([])
    await tasks.ask([shortlist_published(needle_found("r1"), "h2", "h1")])

    assert await due(tasks) == ["h1", "h2"]
    assert await tasks.due(1) == [TaskRecord(FIRST, touched=1)]


async def test_what_is_due_can_be_read_without_some_frames(tasks: AnnotationTasks) -> None:
    await tasks.ask([shortlist_published(needle_found("r1"), "h1", "h2", "h3")])

    found = await tasks.due(1, without={FIRST})
    assert [record.frame_id for record in found] == ["h2"]


async def test_frames_that_left_a_shortlist_are_due_too(tasks: AnnotationTasks) -> None:
    needle = needle_found("r1")
    await tasks.ask([shortlist_published(needle, "h1", "h2")])
    await settle(tasks, "h1", "h2")
    await tasks.ask([shortlist_published(needle, "h2", "h3", revision=2)])

    assert await due(tasks) == ["h1", "h2", "h3"]


async def test_an_older_shortlist_never_replaces_a_newer_one(tasks: AnnotationTasks) -> None:
    needle = needle_found("r1")
    newer = shortlist_published(needle, "h2", revision=2)
    await tasks.ask([newer])
    await tasks.ask([shortlist_published(needle, "h1")])

    assert await tasks.asking([FIRST]) == []
    assert await tasks.asking([FrameId("h2")]) == [newer]


async def test_the_shortlists_that_name_a_frame_come_by_needle(tasks: AnnotationTasks) -> None:
    lists = [shortlist_published(needle_found(name), "h1") for name in ("r1", "r2", "r3")]
    await tasks.ask([*lists, shortlist_published(needle_found("r4"), "h2")])

    found = await tasks.asking([FIRST])
    assert found == sorted(lists, key=lambda shortlist: shortlist.needle_id)


async def test_a_settled_frame_is_not_due(tasks: AnnotationTasks) -> None:
    await tasks.ask([shortlist_published(needle_found("r1"), "h1", "h2")])
    await settle(tasks, "h1")

    assert await due(tasks) == ["h2"]
    assert await tasks.of_frames([FIRST]) == {FIRST: TaskRecord(FIRST, touched=1)}


async def test_a_touch_while_a_frame_is_being_settled_is_not_lost(tasks: AnnotationTasks) -> None:
    await tasks.ask([shortlist_published(needle_found("r1"), "h1")])
    (loaded,) = await tasks.due(1)
    await tasks.touch([FIRST, FIRST])
    await tasks.settle(loaded)

    assert await tasks.due(9) == [TaskRecord(FIRST, touched=2)]


async def test_touching_a_frame_without_a_task_makes_none(tasks: AnnotationTasks) -> None:
    await tasks.touch([FIRST])

    assert await tasks.of_frames([FIRST]) == {}


async def test_facts_of_a_task_are_stored(tasks: AnnotationTasks) -> None:
    await tasks.note(
        FIRST, task_id=7, trying=True, status=TaskStatus.OPEN, asked="d", image="i", read="r"
    )
    await tasks.note(FIRST, trying=False, revision=3, link_until=NOW)

    expected = TaskRecord(
        FIRST,
        task_id=7,
        status=TaskStatus.OPEN,
        asked="d",
        image="i",
        link_until=NOW,
        read="r",
        revision=3,
    )
    assert await tasks.of_frames([FIRST]) == {FIRST: expected}


async def test_only_tasks_with_an_id_are_in_the_tool(tasks: AnnotationTasks) -> None:
    await tasks.note(FIRST, task_id=7)
    await tasks.note(FrameId("h2"), task_id=None)
    await tasks.note(FrameId("h3"), read="")

    assert await tasks.in_tool() == {7: FIRST}


@pytest.mark.parametrize("status", TaskStatus)
async def test_links_are_renewed_before_they_end_where_a_task_is_unanswered(
    tasks: AnnotationTasks, status: TaskStatus
) -> None:
    await tasks.note(FIRST, status=status, link_until=NOW)
    await tasks.touch_ending_links(NOW)
    assert await due(tasks) == []

    await tasks.touch_ending_links(NOW + timedelta(seconds=1))
    unanswered = {TaskStatus.OPEN, TaskStatus.STARTED, TaskStatus.SKIPPED}
    assert await due(tasks) == ([FIRST] if status in unanswered else [])


async def test_links_that_are_valid_no_more_are_renewed(tasks: AnnotationTasks) -> None:
    await tasks.note(FIRST, status=TaskStatus.OPEN, link_until=NOW + LASTING)
    await tasks.note(FrameId("h2"), status=TaskStatus.OPEN)
    await tasks.end_links(NOW)
    assert (await tasks.of_frames([FIRST]))[FIRST].link_until == NOW

    await tasks.touch_ending_links(NOW + LASTING)
    assert await due(tasks) == [FIRST]


async def test_a_frame_that_is_due_is_not_touched_for_its_link(tasks: AnnotationTasks) -> None:
    await tasks.ask([shortlist_published(needle_found("r1"), "h1")])
    await tasks.note(FIRST, status=TaskStatus.OPEN, link_until=NOW)
    await tasks.touch_ending_links(NOW + LASTING)

    assert (await tasks.due(1))[0].touched == 1


async def test_only_deleted_tasks_wait_again(tasks: AnnotationTasks) -> None:
    await tasks.note(FIRST, status=TaskStatus.DELETED)
    await tasks.note(FrameId("h2"), status=TaskStatus.WITHDRAWN)
    await tasks.forget_deleted()

    assert await tasks.due(9) == [TaskRecord(FIRST, touched=1, status=TaskStatus.WAITING)]


async def test_tasks_are_counted_by_status(tasks: AnnotationTasks) -> None:
    for number, status in enumerate([TaskStatus.OPEN, TaskStatus.OPEN, TaskStatus.ANSWERED]):
        await tasks.note(FrameId(f"h{number}"), status=status)

    counts = await tasks.counts()
    assert set(counts) == set(TaskStatus)
    assert {status: count for status, count in counts.items() if count} == {
        TaskStatus.OPEN: 2,
        TaskStatus.ANSWERED: 1,
    }


async def test_the_tools_state_is_stored_and_webhooks_are_counted(tasks: AnnotationTasks) -> None:
    assert await tasks.state() == ToolState()
    await tasks.note_state(project=3, since="2026-05-04")
    await tasks.note_webhook()
    await tasks.note_webhook()
    await tasks.note_state(listened=1)

    assert await tasks.state() == ToolState(3, "2026-05-04", 2, 1)


async def test_one_holder_pushes_at_a_time(tasks: AnnotationTasks) -> None:
    assert await tasks.lease("a", NOW, LASTING)
    assert not await tasks.lease("b", NOW, LASTING)
    assert await tasks.lease("a", NOW + LASTING / 2, LASTING)
    assert not await tasks.lease("b", NOW + LASTING, LASTING)
    assert await tasks.lease("b", NOW + 1.5 * LASTING, LASTING)


async def test_a_holder_releases_only_its_own_lease(tasks: AnnotationTasks) -> None:
    await tasks.lease("a", NOW, LASTING)
    await tasks.release("b")
    assert not await tasks.lease("b", NOW, LASTING)

    await tasks.release("a")
    assert await tasks.lease("b", NOW, LASTING)

"""Tasks out and finished jobs back, by CVAT's real SDK, against its schema on loopback."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from PIL import Image as Picture

from services.annotation.cvat.jobs import read_cvat_jobs
from services.annotation.cvat.plans import TaskPlan
from services.annotation.cvat.server import CvatServer
from services.annotation.ports.needle_filters import NeedleFilter
from services.app.cvat_tasks import Pushed, pull_jobs, push_tasks
from services.app.erasure.outside import CvatCopies
from services.contracts.errors import InvalidSettings, ToolUnavailable
from services.contracts.events import Annotation, FrameAnnotated, FrameCaptured
from services.contracts.identity import FrameId
from services.contracts.matches import categories_of
from services.formats.masks import from_polygons
from services.formats.readers.returned import Manifest, NamedFrame
from services.ground_truth.drafts import entry_of
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from tests.deadline import until
from tests.fakes.outbox import InMemoryOutbox
from tests.faults.victims import Victim
from tests.integration.cvat.protocol import TOKEN, Cvat, serving
from tests.review_world import HOSTILE, Seed, World, review_world, seeded
from tests.samples import frame_matched, published
from tests.unit.ingest.test_exporters import PLAIN, STOP, contents_of, frame, near, truths

EVERY = NeedleFilter()
SENT = NamedFrame(FrameId("a"), (640, 360))


@pytest.fixture
def cvat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cvat]:
    # The SDK tries three times; what it waits in between shows nothing.
    monkeypatch.setattr("urllib3.util.Retry.get_backoff_time", lambda _: 0.0)
    with serving() as cvat:
        yield cvat


@pytest.fixture(scope="module")
def seed(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return asyncio.run(seeded(mongodb_url, tmp_path_factory.mktemp("cvat")))


@pytest.fixture
async def world(seed: Seed) -> AsyncIterator[World]:
    async with review_world(seed) as world:
        captured = [
            record.captured
            for record in (
                await world.stores.frames.load(await world.stores.frame_ids.captured())
            ).values()
            if record.captured
        ]
        entries = [entry_of(frame) for frame in captured if isinstance(frame, FrameCaptured)]
        await world.stores.ledger.assign(entries)
        await world.stores.ledger.confirm(entries)
        known = [frame_matched("r001", category=name) for name in ("stop sign", HOSTILE)]
        await world.stores.matches.record(published(categories_of(known)))
        yield world


def settings(cvat: Cvat, world: World, token: str = TOKEN) -> Settings:
    given = {"cvat_url": cvat.url, "cvat_token": token}
    return Settings.model_validate(world.context.settings.model_dump() | given)


async def push(cvat: Cvat, world: World, wanted: NeedleFilter = EVERY) -> Pushed:
    return await push_tasks(world.stores, settings(cvat, world), "shortlist", wanted)


async def test_each_shortlist_is_a_task_with_images_truth_and_proposals(
    cvat: Cvat, world: World
) -> None:
    done = await push(cvat, world, NeedleFilter(category=HOSTILE))

    (task,) = cvat.tasks.values()
    assert (done.created, done.frames) == (1, 4)
    assert task.names == [f"h001-{place}.png" for place in range(4)]
    assert all(content.startswith(b"\x89PNG") for content in task.images.values())
    labels = {label["id"]: label["name"] for label in task.labels}
    marks = {
        attribute["id"]: attribute["name"]
        for label in task.labels
        for attribute in label["attributes"]
    }
    drawn = [
        (
            labels[shape["label_id"]],
            shape["frame"],
            shape["points"],
            {marks[item["spec_id"]]: item["value"] for item in shape["attributes"]}["proposal"],
        )
        for shape in task.shapes
    ]
    box = [60.0, 40.0, 84.0, 60.0]
    assert ("stop sign", 0, box, "false") in drawn
    assert [item for item in drawn if item[3] == "true"] == [
        (HOSTILE, place, box, "true") for place in range(4)
    ]


async def test_pushing_again_creates_nothing(cvat: Cvat, world: World) -> None:
    first = await push(cvat, world)
    before = {name: task.images.keys() for name, task in cvat.named().items()}

    again = await push(cvat, world)

    assert first.created == 3
    assert (again.created, again.existing) == (0, 3)
    assert {name: task.images.keys() for name, task in cvat.named().items()} == before


@pytest.mark.parametrize("requests", [4, 11, 20])
async def test_a_push_that_breaks_off_anywhere_is_completed_by_the_next(
    requests: int, cvat: Cvat, world: World
) -> None:
    cvat.broken_after = requests
    with pytest.raises(ToolUnavailable):
        await push(cvat, world)
    cvat.broken_after = None

    await push(cvat, world)

    names = [name for task in cvat.tasks.values() for name in task.names]
    assert len(cvat.tasks) == 3
    assert len(names) == len(set(names)) == 12
    assert all(task.name.startswith("gazeloop shortlist ") for task in cvat.tasks.values())
    assert not any(task.name.endswith(")") for task in cvat.tasks.values())
    assert all(task.shapes for task in cvat.tasks.values())


async def pull(cvat: Cvat, world: World) -> tuple[dict[str, FrameAnnotated], dict[str, int], int]:
    outbox = InMemoryOutbox()
    done = await pull_jobs(world.stores, outbox, settings(cvat, world), SystemClock())
    truths = {truth.key(): truth for truth in outbox.published if isinstance(truth, FrameAnnotated)}
    return truths, dict(done.summary.rejected), done.unfinished


async def test_finished_jobs_come_back_as_the_next_revision_with_their_annotator(
    cvat: Cvat, world: World
) -> None:
    await push(cvat, world, NeedleFilter(category=HOSTILE))
    (task,) = cvat.tasks.values()
    proposal = {
        item["id"]
        for label in task.labels
        for item in label["attributes"]
        if item["name"] == "proposal"
    }

    def decide(shape: dict[str, object]) -> dict[str, object]:
        marks = [
            {**item, "value": "false" if item["spec_id"] in proposal else item["value"]}
            for item in shape["attributes"]  # type: ignore[attr-defined]  # JSON
        ]
        return {**shape, "attributes": marks}

    # One proposal is confirmed, one deleted, one left undecided; one frame is deleted.
    first = [decide(shape) for shape in task.shapes if shape["frame"] == 0]
    task.shapes = [*first, *(shape for shape in task.shapes if shape["frame"] == 2)]
    task.deleted = [3]
    task.annotator = "ana"
    assert await pull(cvat, world) == ({}, {}, 1)

    task.state = "completed"
    truths, rejected, unfinished = await pull(cvat, world)

    assert (rejected, unfinished) == ({"unfinished_task": 1}, 0)
    assert truths.keys() == {"h001-0", "h001-1"}
    assert [annotation.category for annotation in truths["h001-0"].annotations].count(HOSTILE) == 1
    assert truths["h001-1"].annotations == ()
    assert {truth.annotated_by for truth in truths.values()} == {"ana"}
    assert {truth.annotation_source for truth in truths.values()} == {"reannotation"}
    assert (await pull(cvat, world))[0] == {}


async def test_what_cannot_be_used_is_named_and_the_rest_goes_through(
    cvat: Cvat, world: World
) -> None:
    await push(cvat, world, NeedleFilter(category=HOSTILE))
    (task,) = cvat.tasks.values()
    plain = {"type": "rectangle", "label_id": task.labels[0]["id"], "attributes": []}
    task.shapes = [
        {**plain, "frame": 0, "points": [1.0, 2.0, 3.0, 4.0], "rotation": 30.0},
        {**plain, "frame": 1, "points": [1.0, 2.0, 3.0, 4.0], "type": "polyline"},
        {**plain, "frame": 2, "points": [900.0, 2.0, 990.0, 4.0]},
        {**plain, "frame": 3, "points": [1.0, 2.0, 3.0, 4.0]},
    ]
    task.state = "completed"

    truths, rejected, _ = await pull(cvat, world)

    assert truths.keys() == {"h001-0", "h001-3"}
    assert rejected == {"unsupported_shape": 1, "incomplete_frame": 1, "box_far_outside": 1}


def keyframe(frame: int, *, outside: bool = False) -> dict[str, object]:
    box = {"type": "rectangle", "points": [1.0, 2.0, 30.0, 40.0], "rotation": 0.0, "z_order": 0}
    return {**box, "frame": frame, "outside": outside, "occluded": False, "attributes": []}


def track(label: object, *keyframes: dict[str, object], **fields: object) -> dict[str, object]:
    plain = {"label_id": label, "group": 0, "source": "manual", "attributes": [], "elements": []}
    return {**plain, "frame": keyframes[0]["frame"], "shapes": [*keyframes], **fields}


@pytest.mark.parametrize(
    ("keyframes", "published"),
    [
        ([keyframe(1)], {"h001-0"}),
        ([keyframe(1), keyframe(3, outside=True)], {"h001-0", "h001-3"}),
        ([keyframe(0), keyframe(1, outside=True), keyframe(3)], {"h001-1", "h001-2"}),
    ],
    ids=["to the end", "leaves", "comes back"],
)
async def test_no_frame_on_which_a_track_is_visible_is_published_without_its_object(
    keyframes: list[dict[str, object]], published: set[str], cvat: Cvat, world: World
) -> None:
    await push(cvat, world, NeedleFilter(category=HOSTILE))
    (task,) = cvat.tasks.values()
    task.shapes, task.tracks = [], [track(task.labels[0]["id"], *keyframes)]
    task.state = "completed"

    truths, rejected, _ = await pull(cvat, world)

    unread = 4 - len(published)
    assert truths.keys() == published
    assert rejected == {"unsupported_shape": unread, "incomplete_frame": unread}


async def test_a_skeleton_is_visible_while_one_of_its_points_is(cvat: Cvat, world: World) -> None:
    await push(cvat, world, NeedleFilter(category=HOSTILE))
    (task,) = cvat.tasks.values()
    label = task.labels[0]["id"]
    bone = track(label, keyframe(0), keyframe(2, outside=True))
    del bone["elements"]
    skeleton = track(label, keyframe(0), keyframe(1, outside=True), elements=[bone])
    task.shapes, task.tracks, task.state = [], [skeleton], "completed"

    assert (await pull(cvat, world))[0].keys() == {"h001-2", "h001-3"}


def test_a_mask_is_on_the_server_what_it_was(cvat: Cvat) -> None:
    png = io.BytesIO()
    Picture.new("RGB", (640, 360)).save(png, "PNG")
    mask = from_polygons([[600, 300, 640, 300, 640, 360]], (640, 360)).mask
    outlined = Annotation(category=STOP, bbox=(600, 300, 40, 60), mask=mask, crowd=True)
    sent = frame("a", annotations=(outlined, *PLAIN))

    with CvatServer.connected(cvat.url, TOKEN) as server:
        server.create(TaskPlan("gazeloop shortlist 1", (sent,)), lambda _: png.getvalue())
        (task,) = server.tasks().values()
        (job,) = server.jobs(task)
        back = truths(read_cvat_jobs(server.frames(job), Manifest({"a": SENT})))

    ((found, *others),) = back.values()
    assert (found.mask, found.crowd) == (mask, True)
    assert contents_of(others) == near(PLAIN)


async def test_a_label_that_nobody_knows_is_held_and_the_rest_goes_through(
    cvat: Cvat, world: World
) -> None:
    await push(cvat, world, NeedleFilter(category=HOSTILE))
    (task,) = cvat.tasks.values()
    task.labels.append({"id": 9, "name": "trafic sign", "task_id": task.id, "attributes": []})
    drawn = {"type": "rectangle", "attributes": [], "points": [1.0, 2.0, 30.0, 40.0]}
    known = task.labels[0]["id"]
    task.shapes = [{**drawn, "frame": 0, "label_id": 9}, {**drawn, "frame": 1, "label_id": known}]
    task.state = "completed"

    truths, rejected, _ = await pull(cvat, world)

    assert truths.keys() == {"h001-1", "h001-2", "h001-3"}
    assert rejected == {}
    (held,) = await world.stores.held.waiting()
    assert (held.frame_id, held.unknown) == ("h001-0", ("trafic sign",))


async def test_a_wrong_token_and_an_absent_server_say_so(cvat: Cvat, world: World) -> None:
    with pytest.raises(InvalidSettings, match="GAZELOOP_CVAT_TOKEN"):
        await push_tasks(world.stores, settings(cvat, world, "wrong"), "shortlist", EVERY)
    assert cvat.tasks == {}
    cvat.url = "http://127.0.0.1:1"
    with pytest.raises(ToolUnavailable, match=r"127\.0\.0\.1"):
        await push(cvat, world)


async def test_finished_jobs_are_fetched_again_and_again_until_it_is_told_to_end(
    cvat: Cvat, kafka: BrokerAddress, mongodb_url: str, tmp_path: Path
) -> None:
    environment = {
        "GAZELOOP_KAFKA": ",".join(kafka.servers),
        "GAZELOOP_MONGODB": mongodb_url,
        "GAZELOOP_MONGODB_DATABASE": "cvat-again",
        "GAZELOOP_DATA": str(tmp_path),
        "GAZELOOP_CVAT_URL": cvat.url,
        "GAZELOOP_CVAT_TOKEN": TOKEN,
    }
    log = tmp_path / "log"
    command = ("-c", "from services.cli.main import main; main()", "cvat", "pull", "--every", "1")
    with Victim(command, log, environment) as puller:
        await until(lambda: log.read_text().count("cvat_pulled") > 1)
        assert puller.terminate() == 0


async def test_an_erasure_names_the_tasks_that_show_a_frame_or_that_nobody_looked_at(
    cvat: Cvat, world: World
) -> None:
    await push(cvat, world)
    copies = CvatCopies(settings(cvat, world))
    shown, another = FrameId("h001-2"), FrameId("elsewhere")
    tasks = [str(task.id) for task in cvat.tasks.values() if "h001-2.png" in task.names]

    (found,) = await copies.of([shown])
    assert found.ids == tuple(sorted(tasks))
    assert cvat.url in found.remedy
    assert await copies.of([another]) == []
    cvat.broken_after = 0
    (unseen,) = await copies.of([shown])
    assert unseen.ids == ("h001-2",)
    assert "not looked at: CVAT" in unseen.remedy
    assert await CvatCopies(world.context.settings).of([shown]) == []

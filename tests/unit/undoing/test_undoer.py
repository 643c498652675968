"""What an undo takes back and what it keeps, whatever step it is killed at."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.app.undoing import undoer
from services.app.undoing.undoer import Effect, Undoer
from services.contracts.events import FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.identity import FrameId, ImportId
from services.domain.metrics.counting import NotCounted, why_not_counted
from services.domain.ports.imports import ImportKind, ImportRun, Undo
from services.ground_truth.drafts import Draft
from services.ground_truth.import_journal import ImportJournal
from services.ground_truth.publishing import RevisionPublisher, Submission
from tests import samples
from tests.captured_logs import captured_logs
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.imports import InMemoryImports
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.erasure.test_eraser import Fuse, Fused, KilledError

AT = datetime(2026, 5, 4, tzinfo=UTC)
FIRST, WRONG = ImportId("aaa"), ImportId("bbb")
UNDO = Undo(WRONG, "ada", AT)
RIGHT_TRUTH, OTHER_TRUTH = (samples.annotation(name) for name in ("stop sign", "yield"))
RIGHT_MADE, OTHER_MADE = (samples.detection(score=score) for score in (0.9, 0.4))


@dataclass
class World:
    frames: InMemoryFrameStore = field(default_factory=InMemoryFrameStore)
    imports: InMemoryImports = field(default_factory=InMemoryImports)
    ledger: InMemoryLedger = field(default_factory=InMemoryLedger)
    outbox: InMemoryOutbox = field(default_factory=InMemoryOutbox)

    async def take(self, import_id: ImportId, *drafts: Draft, tag: str = "") -> None:
        """Import drafts, and have fp_miner store them."""
        run = ImportRun(import_id, ImportKind.DATA_SET, "street", "ada", AT)
        journal = ImportJournal(run, self.imports, self.frames)
        publisher = RevisionPublisher(self.ledger, self.outbox, "import", journal)
        tags = (tag if not isinstance(draft, FrameCaptured) else "" for draft in drafts)
        await publisher.publish([Submission(*one) for one in zip(drafts, tags, strict=True)])
        await self.deliver()

    async def deliver(self) -> None:
        facts = [
            event
            for event in self.outbox.published
            if isinstance(event, FrameCaptured | PredictionsMade | FrameAnnotated)
        ]
        self.outbox.published.clear()
        await self.frames.record(facts)

    def undoer(self, fuse: Fuse | None = None) -> Undoer:
        parts: list[Any] = [self.imports, self.ledger, self.outbox]
        imports, ledger, outbox = (Fused(part, fuse) for part in parts) if fuse else parts
        return Undoer(imports, self.frames, RevisionPublisher(ledger, outbox, "undo"))

    async def undo(self, undo: Undo = UNDO) -> None:
        await self.imports.request(undo)
        await self.undoer().sweep()
        await self.deliver()

    async def parts(self, frame_id: str = "f1") -> tuple[FrameAnnotated, PredictionsMade]:
        record = (await self.frames.load([FrameId(frame_id)]))[FrameId(frame_id)]
        assert record.ground_truth is not None
        return record.ground_truth, record.predictions[samples.DETECTOR]


async def filled() -> World:
    """Two frames: the wrong import replaced the parts of one, and introduced the other."""
    world = World()
    await world.take(
        FIRST,
        samples.frame_captured("f1"),
        samples.frame_annotated(RIGHT_TRUTH),
        samples.predictions_made(RIGHT_MADE),
    )
    await world.take(
        WRONG,
        samples.frame_annotated(OTHER_TRUTH),
        samples.predictions_made(OTHER_MADE),
        samples.frame_captured("f2"),
        samples.frame_annotated(OTHER_TRUTH, frame_id="f2"),
        samples.predictions_made(OTHER_MADE, frame_id="f2"),
    )
    return world


@pytest.fixture
async def world() -> World:
    return await filled()


async def is_undone(world: World) -> bool:
    truth, made = await world.parts("f1")
    new_truth, new_made = await world.parts("f2")
    restored = truth.annotations == (RIGHT_TRUTH,) and made.detections == (RIGHT_MADE,)
    return (
        restored
        and (truth.revision, made.revision) == (3, 3)
        and (new_truth.revision, new_made.revision) == (2, 2)
        and new_truth.withdrawn
        and new_made.withdrawn
        and not (new_truth.annotations or new_made.detections)
    )


async def test_an_undo_restores_what_was_replaced_and_withdraws_the_rest(world: World) -> None:
    assert await world.undoer().preview(UNDO) == {
        Effect.GROUND_TRUTH_RESTORED: 1,
        Effect.PREDICTIONS_RESTORED: 1,
        Effect.GROUND_TRUTH_WITHDRAWN: 1,
        Effect.PREDICTIONS_WITHDRAWN: 1,
        Effect.FRAME_KEPT: 1,
    }
    await world.undo()
    assert await is_undone(world)
    truth, made = await world.parts("f2")
    assert why_not_counted(truth, made, copy=False) is NotCounted.WITHDRAWN
    tally = await world.frames.tally()
    assert (tally.ground_truth, tally.predictions, tally.partial_ground_truth) == (1, 1, 0)


async def test_the_log_has_the_parts_of_each_undo(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target in (UNDO, Undo(samples.DETECTOR, "ada", AT + timedelta(hours=1))):
        await world.imports.request(target)

    logs = captured_logs(undoer, monkeypatch)
    taken_back = await world.undoer().sweep()

    parts = [entry["parts"] for entry in logs if entry["event"] == "undone"]
    assert (len(parts), sum(parts)) == (2, taken_back)


async def test_what_others_have_changed_since_is_kept(world: World) -> None:
    await world.take(ImportId("ccc"), samples.frame_annotated(frame_id="f2"))
    assert (await world.undoer().preview(UNDO))[Effect.CHANGED_SINCE] == 1
    await world.undo()
    truth, made = await world.parts("f2")
    assert (truth.revision, truth.withdrawn, made.withdrawn) == (2, False, True)


async def test_a_correction_that_is_still_on_its_way_is_kept(world: World) -> None:
    publisher = RevisionPublisher(world.ledger, world.outbox, "review")
    await publisher.publish_next(samples.frame_annotated(frame_id="f2"), after=1)
    await world.undo()
    assert not (await world.parts("f2"))[0].withdrawn


async def test_undoing_a_later_import_does_not_bring_back_an_undone_one(world: World) -> None:
    later = samples.annotation("speed limit")
    await world.take(
        ImportId("ccc"),
        samples.frame_annotated(later),
        samples.frame_annotated(later, frame_id="f2"),
        samples.predictions_made(samples.detection(score=0.7)),
    )
    for undone in (UNDO, Undo(ImportId("ccc"), "ada", AT)):
        await world.undo(undone)
    truth, made = await world.parts("f1")
    assert (truth.annotations, made.detections) == ((RIGHT_TRUTH,), (RIGHT_MADE,))
    assert (await world.parts("f2"))[0].withdrawn


async def test_a_detector_version_is_withdrawn_and_ground_truth_stays(world: World) -> None:
    other = samples.predictions_made(RIGHT_MADE, version="2")
    await world.take(FIRST, other)
    await world.undo(Undo(samples.DETECTOR, "ada", AT))
    for frame_id in ("f1", "f2"):
        truth, made = await world.parts(frame_id)
        assert (truth.withdrawn, made.withdrawn) == (False, True)
    record = (await world.frames.load([FrameId("f1")]))[FrameId("f1")]
    assert record.predictions[other.detector_id] == other
    assert await world.undoer().preview(Undo(samples.DETECTOR, "ada", AT)) == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_undo_that_is_killed_at_any_step_is_finished_by_the_next(
    after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.app.undoing.undoer._AT_ONCE", 2)
    killed, step = True, 0
    while killed:
        step += 1
        world = await filled()
        await world.imports.request(UNDO)
        try:
            await world.undoer(Fuse(step, after)).sweep()
        except KilledError:
            await world.deliver()
        else:
            killed = False
        await world.undo(UNDO)
        assert await is_undone(world)
    assert step > 20


async def test_the_same_content_may_be_imported_again_after_an_undo(world: World) -> None:
    await world.undo()
    frame_id = FrameId("f2")
    tag = (await world.imports.undone([frame_id]))[frame_id]
    for _ in range(2):
        await world.take(
            ImportId("ddd"), samples.frame_annotated(OTHER_TRUTH, frame_id="f2"), tag=tag
        )
        truth, _ = await world.parts("f2")
        assert (truth.revision, truth.annotations) == (3, (OTHER_TRUTH,))
    await world.undo(Undo(ImportId("ddd"), "ada", AT + timedelta(hours=1)))
    truth, _ = await world.parts("f2")
    assert (truth.revision, truth.withdrawn) == (4, True)
    assert (await world.imports.undone([frame_id]))[frame_id] != tag

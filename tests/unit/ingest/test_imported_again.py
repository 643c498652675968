"""Corrections that are imported again: after they were settled, and after an undo."""

from dataclasses import dataclass, field, replace

import pytest

from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Category, FrameId, ImportId, VehicleId
from services.domain.ports.held_corrections import VersionChoice
from services.domain.ports.imports import ImportKind, ImportRun
from services.formats.items import Disputed, FrameItem, Item, Located
from services.ground_truth.drafts import entry_of
from services.ground_truth.holding import HeldRelease, IncomingCorrection
from services.ground_truth.import_journal import ImportJournal
from services.ground_truth.publishing import RevisionPublisher
from services.ingest.parts import IngestParts
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.ingest.summary import Count, Summary
from tests import samples
from tests.fakes.imports import InMemoryImports
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.ingest.parts import parts_in_memory

FRAME = FrameId("f1")


def version(*categories: str) -> FrameItem:
    """What one annotator has drawn on the frame."""
    boxes = (Annotation(category=Category(name), bbox=(1, 2, 3, 4)) for name in categories)
    located = tuple(Located(box, f"ana.json:[{at}]") for at, box in enumerate(boxes))
    return FrameItem(FRAME, VehicleId("v1"), "ana.json", None, annotations=located)


DISPUTED = Disputed((version("yield"), version("stop sign")), "ana.json, ben.json")


@dataclass(frozen=True)
class Corrections:
    """Imports of corrections of a frame that is known."""

    outbox: InMemoryOutbox = field(default_factory=InMemoryOutbox)
    imports: InMemoryImports = field(default_factory=InMemoryImports)
    parts: IngestParts = field(default_factory=parts_in_memory)

    async def arrive(self, item: Item) -> Summary:
        run = ImportRun(
            ImportId("run"), ImportKind.CORRECTIONS, "files", "ada", samples.CAPTURED_AT
        )
        return await publish_dataset(
            [item],
            replace(self.parts, outbox=self.outbox),
            source=Source.REANNOTATION,
            journal=ImportJournal(run, self.imports, self.parts.frames),
        )

    async def choose(self, chosen: int) -> None:
        """Settle the only correction that waits."""
        held = self.parts.gate.held
        (waiting,) = await held.waiting()
        at = self.parts.clock.now()
        choice = VersionChoice(waiting.held_id, waiting.question, chosen, "Ana", "token", at)
        assert await held.choose(choice)
        publisher = RevisionPublisher(self.parts.ledger, self.outbox, "answer")
        assert await HeldRelease(held, publisher).release() == 1

    async def waiting(self) -> int:
        return len(await self.parts.gate.held.waiting())

    @property
    def published(self) -> list[tuple[int, list[str]]]:
        return [
            (event.revision, [annotation.category for annotation in event.annotations])
            for event in self.outbox.published
            if isinstance(event, FrameAnnotated)
        ]


@pytest.fixture
async def corrections() -> Corrections:
    corrections = Corrections()
    known = entry_of(samples.frame_captured(FRAME))
    await corrections.parts.ledger.assign([known])
    await corrections.parts.ledger.confirm([known])
    return corrections


async def test_a_disputed_frame_is_asked_about_again_after_an_undo(
    corrections: Corrections,
) -> None:
    assert (await corrections.arrive(DISPUTED)).held == {"annotators_disagree": 1}
    await corrections.choose(1)
    assert corrections.published == [(1, ["stop sign"])]
    await corrections.imports.mark_undone([FRAME], "after the undo")

    again = await corrections.arrive(DISPUTED)

    assert (again.held, again.done) == ({"annotators_disagree": 1}, 1)
    assert await corrections.waiting() == 1
    await corrections.choose(1)
    assert corrections.published == [(1, ["stop sign"]), (2, ["stop sign"])]


@pytest.mark.parametrize("chosen", [1, -1])
async def test_a_disputed_frame_that_was_settled_is_not_reported_as_held(
    corrections: Corrections, chosen: int
) -> None:
    await corrections.arrive(DISPUTED)
    await corrections.choose(chosen)

    again = await corrections.arrive(DISPUTED)

    assert (again.held, again.done, again.ground_truth) == ({}, 1, Count(known=1))
    assert await corrections.waiting() == 0


async def test_what_was_published_before_does_not_supersede_a_correction_that_waits(
    corrections: Corrections,
) -> None:
    await corrections.arrive(version("yield"))
    misspelt = samples.frame_annotated(samples.annotation("yeild"), frame_id=FRAME)
    await corrections.parts.gate.judged([IncomingCorrection([misspelt], "http")])

    assert (await corrections.arrive(version("yield"))).ground_truth == Count(known=1)
    assert await corrections.waiting() == 1

    assert (await corrections.arrive(version("stop sign"))).ground_truth == Count(published=1)
    assert await corrections.waiting() == 0


async def test_a_correction_back_to_earlier_content_is_published_again_after_an_undo(
    corrections: Corrections,
) -> None:
    for categories in (["yield"], ["stop sign"], ["yield"]):
        await corrections.arrive(version(*categories))
    await corrections.imports.mark_undone([FRAME], "after the undo")

    assert (await corrections.arrive(version("yield"))).ground_truth == Count(published=1)
    assert (await corrections.arrive(version("yield"))).ground_truth == Count(known=1)
    assert [revision for revision, _ in corrections.published] == [1, 2, 3, 4]

"""Which ground truth over HTTP is a correction, and so may be held."""

from dataclasses import replace

import pytest

from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated
from services.contracts.identity import Category
from services.domain.ports.held_corrections import HeldCorrection, Question
from services.ground_truth.drafts import Draft
from services.ground_truth.holding import CorrectionGate
from services.ground_truth.publishing import Accepted
from services.ingest.accepting import Acceptance
from services.ingest.correction_holder import CorrectionHolder
from tests.fakes.categories import InMemoryCategories
from tests.fakes.clock import FakeClock
from tests.fakes.held_corrections import InMemoryHeldCorrections
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.shortlists import InMemoryShortlistStore
from tests.samples import (
    annotation,
    frame_annotated,
    needle_found,
    predictions_made,
    shortlist_published,
)
from tests.unit.ingest.parts import parts_in_memory


class Ingest:
    """Acceptance on fakes; `stop` is the only known category."""

    def __init__(self) -> None:
        self.outbox, self.ledger = InMemoryOutbox(), InMemoryLedger()
        self.shortlists = InMemoryShortlistStore()
        self.held = InMemoryHeldCorrections()
        known = InMemoryCategories([Category("stop")])
        gate = CorrectionGate(self.held, known, self.ledger, FakeClock())
        parts = replace(parts_in_memory(), outbox=self.outbox, ledger=self.ledger, gate=gate)
        holder = CorrectionHolder(gate, self.ledger, self.shortlists)
        self._acceptance = Acceptance(parts, holder)

    async def publish(self, *drafts: Draft) -> list[Accepted | HeldCorrection]:
        return await self._acceptance.publish(drafts)

    async def revision(self, draft: Draft) -> int:
        (accepted,) = await self.publish(draft)
        assert isinstance(accepted, Accepted)
        return accepted.revision

    async def is_held(self, draft: Draft) -> bool:
        (result,) = await self.publish(draft)
        return isinstance(result, HeldCorrection)


def truth(*labels: str, frame_id: str = "f1", source: str = "import") -> FrameAnnotated:
    labelled = frame_annotated(*map(annotation, labels), frame_id=frame_id)
    return labelled.model_copy(update={"annotation_source": source})


@pytest.fixture
def ingest() -> Ingest:
    return Ingest()


async def test_the_first_ground_truth_of_a_frame_may_name_a_new_category(ingest: Ingest) -> None:
    assert await ingest.revision(truth("kiosk")) == 1
    assert await ingest.held.waiting() == []


async def test_a_change_with_an_unknown_label_is_held(ingest: Ingest) -> None:
    await ingest.publish(truth("stop"))

    (held,) = await ingest.publish(truth("stp"))

    assert isinstance(held, HeldCorrection)
    assert (held.question, held.origin) == (Question.UNKNOWN_CATEGORY, "http")
    assert len(ingest.outbox.published) == 1


async def test_a_change_with_known_labels_is_the_next_revision(ingest: Ingest) -> None:
    await ingest.publish(truth("stop"))

    assert await ingest.revision(truth("stop", "stop")) == 2


async def test_the_first_ground_truth_of_a_shortlisted_frame_may_be_held(ingest: Ingest) -> None:
    await ingest.shortlists.record([shortlist_published(needle_found("r1"), "f1", "gone")])
    shorter = shortlist_published(needle_found("r1"), "f1", revision=2)
    await ingest.shortlists.record([shorter])

    assert await ingest.is_held(truth("kiosk"))
    assert not await ingest.is_held(truth("kiosk", frame_id="gone"))
    assert not await ingest.is_held(truth("kiosk", frame_id="other"))


async def test_repeating_what_was_published_is_not_held(ingest: Ingest) -> None:
    await ingest.publish(truth("kiosk"))

    assert await ingest.revision(truth("kiosk")) == 1
    assert len({event.event_id for event in ingest.outbox.published}) == 1


@pytest.mark.parametrize("source", [REANNOTATION_SOURCE, "import"])
async def test_ground_truth_back_to_an_earlier_content_is_a_new_revision(
    ingest: Ingest, source: str
) -> None:
    stop, none = (truth(*labels, source=source) for labels in (("stop",), ()))

    assert [await ingest.revision(draft) for draft in (stop, none, stop, stop)] == [1, 2, 3, 3]


async def test_an_import_that_is_repeated_takes_back_no_correction(ingest: Ingest) -> None:
    imported, corrected = truth("stop"), truth(source=REANNOTATION_SOURCE)

    drafts = (imported, corrected, imported, corrected)
    assert [await ingest.revision(draft) for draft in drafts] == [1, 2, 1, 2]


async def test_results_come_in_the_order_of_their_drafts(ingest: Ingest) -> None:
    await ingest.publish(truth("stop", frame_id="f2"))

    predictions, held, annotated = await ingest.publish(
        predictions_made(frame_id="f1"), truth("stp", frame_id="f2"), truth("stop", frame_id="f3")
    )

    assert isinstance(held, HeldCorrection)
    assert held.frame_id == "f2"
    assert isinstance(predictions, Accepted)
    assert isinstance(annotated, Accepted)
    assert (predictions.frame_id, annotated.frame_id) == ("f1", "f3")


async def test_nothing_to_publish_is_nothing(ingest: Ingest) -> None:
    assert await ingest.publish() == []
    assert ingest.outbox.published == []

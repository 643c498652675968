"""Ingest's parts in memory."""

from services.contracts.identity import Category
from services.ground_truth.holding import CorrectionGate
from services.ingest.correction_holder import CorrectionHolder
from services.ingest.parts import IngestParts
from services.runtime.settings import Settings
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.categories import InMemoryCategories
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.held_corrections import InMemoryHeldCorrections
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.shortlists import InMemoryShortlistStore
from tests.fakes.tombstones import InMemoryTombstones

KNOWN = (Category("sign"), Category("stop sign"), Category("yield"))


def parts_in_memory() -> IngestParts:
    """New parts, which know a few categories; replace those that a test looks into."""
    clock, ledger = FakeClock(), InMemoryLedger()
    held, categories = InMemoryHeldCorrections(), InMemoryCategories(KNOWN)
    return IngestParts(
        outbox=InMemoryOutbox(),
        blobs=InMemoryBlobs(),
        ledger=ledger,
        frames=InMemoryFrameStore(),
        tombstones=InMemoryTombstones(),
        gate=CorrectionGate(held, categories, ledger, clock),
        settings=Settings(),
        clock=clock,
    )


def holder_of(parts: IngestParts) -> CorrectionHolder:
    """The parts' holder; nothing is shortlisted."""
    return CorrectionHolder(parts.gate, parts.ledger, InMemoryShortlistStore())

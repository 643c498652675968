"""The parts that everything which ingest takes is published through."""

from dataclasses import dataclass
from typing import Self

from services.domain.ports.blobs import BlobStore
from services.domain.ports.erasure import TombstoneStore
from services.domain.ports.frames import FrameStore
from services.domain.ports.ledger import RevisionLedger
from services.ground_truth.holding import CorrectionGate
from services.runtime.clock import Clock
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.opening import Stores


@dataclass(frozen=True)
class IngestParts:
    """What checks records, stores their images, numbers them and publishes them.

    None is optional: without one of them, ingest would publish what it has to refuse or to hold.

    Attributes
    ----------
    frames : the source of image sizes
    tombstones : the erased frames, of which nothing is published
    gate : holds corrections that raise a question
    """

    outbox: Outbox
    blobs: BlobStore
    ledger: RevisionLedger
    frames: FrameStore
    tombstones: TombstoneStore
    gate: CorrectionGate
    settings: Settings
    clock: Clock

    @classmethod
    def of(cls, stores: Stores, outbox: Outbox, settings: Settings, clock: Clock) -> Self:
        """The parts in opened stores."""
        return cls(
            outbox=outbox,
            blobs=stores.blobs,
            ledger=stores.ledger,
            frames=stores.frames,
            tombstones=stores.tombstones,
            gate=CorrectionGate(stores.held, stores.categories, stores.ledger, clock),
            settings=settings,
            clock=clock,
        )

    @property
    def image_limits(self) -> ImageLimits:
        """The largest image that is taken."""
        return ImageLimits.of(self.settings)

"""The curve store's protocol: the latest curves of each detector, subset and slice, as JSON."""

from collections.abc import Mapping
from typing import Protocol

from services.contracts.identity import DetectorId
from services.domain.metrics.subsets import Subset


class CurveStore(Protocol):
    """JSON documents by detector and subset."""

    async def put(self, detector: str, subset: Subset, content: bytes) -> None:
        """Replace a document."""
        ...

    async def find(self, detector: str, subset: Subset) -> bytes | None:
        """A document; None if there is none."""
        ...

    async def detectors(self) -> list[DetectorId]:
        """The detectors that have documents, in the order of their names."""
        ...

    async def show_slices(self, detector: str, contents: Mapping[str, bytes]) -> None:
        """Replace a detector's documents of slices, by their names."""
        ...

    async def slices(self, detector: str) -> list[str]:
        """The slices of a detector that have documents, by their names, in the order given."""
        ...

    async def find_slice(self, detector: str, name: str) -> bytes | None:
        """The document of a slice; None if there is none."""
        ...

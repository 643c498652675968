"""The interface of what vectors come from: an embedding model, or the events themselves."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.contracts.errors import Invalid
from services.contracts.identity import FrameId, ModelId
from services.embedder.embedder import FrameVectors
from services.embedder.logic import EmbeddingTask, Region


@dataclass(frozen=True)
class EmbeddedPass:
    """Some tasks with their vectors, in the same order, and the frames that have none."""

    tasks: Sequence[EmbeddingTask]
    vectors: Sequence[FrameVectors]
    broken: dict[FrameId, Invalid]


class VectorSource(Protocol):
    """Gives the vectors of one model."""

    @property
    def model_id(self) -> ModelId:
        """Id of everything that affects the vectors; only vectors of one id are comparable."""
        ...

    @property
    def frame_dimension(self) -> int:
        """Length of an image's vector."""
        ...

    @property
    def region_dimension(self) -> int:
        """Length of a region's vector."""
        ...

    def has_vector(self, region: Region) -> bool:
        """Whether the region can have a vector of this model."""
        ...

    def passes(self, tasks: Sequence[EmbeddingTask]) -> AsyncGenerator[EmbeddedPass]:
        """The vectors of the tasks' frames and missing regions, pass by pass."""
        ...

"""The protocol that makes vectors of what a person searches by."""

from typing import NamedTuple, Protocol

from services.contracts.identity import Box, ModelId
from services.domain.arrays import Vector


class Query(NamedTuple):
    """A vector to search by, and the model whose vectors it may be compared with."""

    model: ModelId
    vector: Vector


class QueryEmbedder(Protocol):
    """Makes vectors of what a person searches by.

    Its methods raise Invalid or Fatal with the reason where this cannot be embedded here.
    """

    @property
    def reads_text(self) -> bool:
        """Whether texts can be searched by."""
        ...

    async def of_box(self, content: bytes, box: Box) -> Query:
        """The query of a part of an image file."""
        ...

    async def of_text(self, text: str, *, regions: bool) -> Query:
        """The query of a text, for regions or for frames."""
        ...

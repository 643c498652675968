"""The protocol of the store of categories that occur in the data."""

from collections.abc import Collection
from typing import Protocol

from services.contracts.identity import Category


class Categories(Protocol):
    """The categories that occur in the stored data."""

    async def all(self) -> list[Category]:
        """Every category used on a frame that has predictions and ground truth, sorted.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def known(self, names: Collection[Category]) -> set[Category]:
        """The names that occur in any frame's ground truth, or in a matched frame's predictions."""
        ...

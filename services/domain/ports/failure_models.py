"""The protocol of the store of failure models: content under the id that its examples give it."""

from typing import Protocol

from services.contracts.identity import Category, DetectorId

MODELS_KEPT = 16
"""Per detector and category: the last ones. A category is fitted again once its examples have grown
by half, so they reach back to a thousandth of its examples."""


class FailureModelStore(Protocol):
    """Fitted failure models, so that no process has to fit what another one has fitted."""

    async def save(
        self, detector: DetectorId, category: Category, model_id: str, content: bytes
    ) -> None:
        """Store a model durably as the last one of its category; a repeat changes nothing else.

        Parameters
        ----------
        content : in a form that is the retriever's own

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def load(self, detector: DetectorId, category: Category, model_id: str) -> bytes | None:
        """The content of a model; None if it is not, or no longer, stored."""
        ...

    async def forget_all(self) -> None:
        """Delete all models: an erased frame may have been an example."""
        ...

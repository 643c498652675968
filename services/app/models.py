"""Embedding models side by side: how far each is, and which one searches use."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.contracts.errors import InvalidSettings
from services.contracts.identity import ModelId
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    CollectionNames,
    collection_of,
    live_model,
    models_of,
)
from services.runtime.step import Outbox
from services.runtime.stores.embeddings import Embeddings


@dataclass(frozen=True)
class Model:
    """A model that has collections.

    Attributes
    ----------
    done : captured frames whose vectors are of their latest predictions
    lacking : frames that the live model is done with, and this one is not
    """

    model_id: ModelId
    live: bool
    done: int
    lacking: int


@dataclass(frozen=True)
class Models:
    """All that have collections, in the order of their ids."""

    captured: int
    models: Sequence[Model]

    @property
    def live(self) -> Model | None:
        """The one that searches use."""
        return next((model for model in self.models if model.live), None)

    def named(self, name: str) -> Model:
        """The model with this id, or the only one with this in its id.

        Raises
        ------
        InvalidSettings
            There is none, or more than one.
        """
        whole = [model for model in self.models if model.model_id == name]
        found = whole or [model for model in self.models if name in model.model_id]
        if len(found) == 1:
            return found[0]
        there = ", ".join(model.model_id for model in found or self.models) or "none yet"
        raise InvalidSettings(
            f"{name!r} is in the ids of several models: {there}"
            if found
            else f"no model here has {name!r} in its id; there are: {there}"
        )


async def read_models(names: CollectionNames, embeddings: Embeddings) -> Models:
    """How far every model is.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    live = await live_model(names, REGION_VECTORS)
    found = [
        Model(
            model_id=collection,
            live=collection == live,
            done=await embeddings.done(collection),
            lacking=await embeddings.lacking(collection, live) if live else 0,
        )
        for collection in models_of(await names.collections())
    ]
    return Models(await embeddings.captured(), found)


async def use(
    model: ModelId, names: CollectionNames, embeddings: Embeddings, outbox: Outbox
) -> None:
    """Let searches use this model from now on, and let the retriever plan by it at once.

    The retriever plans whenever a frame is embedded, and asks then which model is live. So it is
    told again of a frame that this model has embedded: a repetition, which changes nothing else.

    Raises
    ------
    StoreUnavailable, BrokerUnavailable, DeliveryUnconfirmed
        A part is away. The same call again completes it.
    """
    await names.alias(
        {alias: collection_of(alias, model) for alias in (FRAME_VECTORS, REGION_VECTORS)}
    )
    embedded = await embeddings.one(model)
    if embedded is not None:
        await outbox.publish([embedded])

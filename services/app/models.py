"""Embedding models: their progress, and which one is live."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.contracts.errors import InvalidSettings
from services.contracts.identity import ModelId
from services.domain.ports.embeddings import Embeddings
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    CollectionAliases,
    CollectionNames,
    collection_of,
    live_model,
    models_of,
)
from services.runtime.step import Outbox


@dataclass(frozen=True)
class Model:
    """A model with collections in the vector store.

    Attributes
    ----------
    done : number of captured frames whose vectors match their latest predictions
    lacking : number of frames that the live model has embedded and this one has not
    """

    model_id: ModelId
    live: bool
    done: int
    lacking: int


@dataclass(frozen=True)
class Models:
    """All models with collections, sorted by id."""

    captured: int
    models: Sequence[Model]

    @property
    def live(self) -> Model | None:
        """The model that searches use."""
        return next((model for model in self.models if model.live), None)

    def named(self, name: str) -> Model:
        """The model with this id, or the only one whose id contains the name.

        Raises
        ------
        InvalidSettings
            No model matches, or several do.
        """
        exact = [model for model in self.models if model.model_id == name]
        found = exact or [model for model in self.models if name in model.model_id]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(model.model_id for model in found or self.models) or "none yet"
        raise InvalidSettings(
            f"{name!r} is in the ids of several models: {listed}"
            if found
            else f"no model here has {name!r} in its id; there are: {listed}"
        )


async def read_models(names: CollectionNames, embeddings: Embeddings) -> Models:
    """Read every model's progress.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    live = await live_model(names, REGION_VECTORS)
    found = [
        Model(
            model_id=model,
            live=model == live,
            done=await embeddings.done(model),
            lacking=await embeddings.lacking(model, live) if live else 0,
        )
        for model in models_of(await names.collections())
    ]
    return Models(await embeddings.captured(), found)


async def use(
    model: ModelId, names: CollectionAliases, embeddings: Embeddings, outbox: Outbox
) -> None:
    """Make this model live, and have the retriever replan with it at once.

    The retriever plans after every `FrameEmbedded`, and reads the live model then. Publishing such
    an event of the model again therefore triggers a plan, and has no other effect.

    Raises
    ------
    StoreUnavailable, BrokerUnavailable, DeliveryUnconfirmed
        A part is unreachable. Repeating the call completes the switch.
    """
    await names.alias(
        {alias: collection_of(alias, model) for alias in (FRAME_VECTORS, REGION_VECTORS)}
    )
    embedded = await embeddings.one(model)
    if embedded is not None:
        await outbox.publish([embedded])

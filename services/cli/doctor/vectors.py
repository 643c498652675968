"""The vector store: which model is live, and whether it has what MongoDB says it has."""

import asyncio
from collections.abc import Iterator, Mapping

from services.cli.doctor.finding import Finding, Level
from services.contracts.identity import ModelId, PointId
from services.runtime.embedded.mongod import FOLDER as MONGODB_FOLDER
from services.runtime.settings import Settings
from services.runtime.stores.embeddings import MongoEmbeddings, Points, held_points
from services.runtime.stores.mongo import connected
from services.runtime.stores.vectors import (
    FRAMES,
    REGIONS,
    VectorStore,
    collection_of,
    model_of,
    models_of,
)
from services.runtime.stores.vectors_edge_names import EDGE_FOLDER
from services.runtime.stores.vectors_open import open_vector_store

_PART = "vectors"
_NOBODY = "gazeloop-doctor"
"""A collection that is not there."""


def has_vectors(settings: Settings) -> bool:
    """Whether there is anything to look at: a server, or a data folder that has its own."""
    parts = (MONGODB_FOLDER, EDGE_FOLDER)  # the one without the other is what is to be found
    return bool(settings.qdrant) or any((settings.data / each).exists() for each in parts)


async def look_at_vectors(settings: Settings, *, model: bool) -> list[Finding]:
    """What searches would find, and what they would not.

    Parameters
    ----------
    model : whether to compare with the embedder that is set

    Raises
    ------
    StoreUnavailable, InvalidSettings
        It does not answer, or does not let us in, or lets us read only.
    """
    store = open_vector_store(settings)
    try:
        live = model_of(REGIONS, (await store.aliases()).get(REGIONS))
        # Says nothing, but is refused to a key that may only read.
        await store.delete(_NOBODY, [PointId("00000000-0000-0000-0000-000000000000")])
        where = settings.qdrant or f"Qdrant Edge in {settings.data}"
        found = [Finding(Level.OK, _PART, f"{where} answers; live model: {live}")]
        found += await _lost(store, settings, live)
        if model:
            found += await _compared(store, settings, live)
        return found
    finally:
        await store.close()


async def _lost(store: VectorStore, settings: Settings, live: ModelId | None) -> list[Finding]:
    """Vectors that frames are said to have: the record is MongoDB's, and nobody looks again."""
    async with connected(settings) as database:
        recorded = await MongoEmbeddings(database).points()
    kept = {*models_of(await store.collections()), live}
    held = {
        each: await held_points(store, each)
        for each in recorded
        # A model whose collections somebody has dropped is done with, unless nothing else is there.
        if each in kept or live is None
    }
    return list(_missing(recorded, held))


def _missing(
    recorded: Mapping[ModelId, Points], held: Mapping[ModelId, Points]
) -> Iterator[Finding]:
    for model, points in sorted(held.items()):
        told = recorded[model]
        if not points.cover(told):
            what = (
                f"{model} has {points.frames:,} of {told.frames:,} frames and"
                f" {points.regions:,} of {told.regions:,} regions that MongoDB says are embedded:"
                " searches miss the others"
            )
            remedy = (
                "`gazeloop models fill`, with the embedder that made them (`--set embedder=…`),"
                " makes them again from the images"
            )
            yield Finding(Level.ERROR, _PART, what, remedy)


async def _compared(store: VectorStore, settings: Settings, live: ModelId | None) -> list[Finding]:
    from services.embedder.torch_embedder import TorchEmbedder  # noqa: PLC0415  # torch: seconds

    ours = await asyncio.to_thread(TorchEmbedder.of, settings)
    found = []
    for alias, wanted in ((FRAMES, ours.frame_dimension), (REGIONS, ours.region_dimension)):
        collection = collection_of(alias, ours.model_id)
        held = await store.dimension(collection)
        if held is not None and held != wanted:
            what = f"{collection} holds vectors of {held} numbers, and the embedder makes {wanted}"
            remedy = (
                "somebody else has made it: delete it in Qdrant, and `gazeloop models fill`"
                " makes it again"
            )
            found.append(Finding(Level.ERROR, _PART, what, remedy))
    if live is not None and live != ours.model_id:
        what = f"searches use {live}, and the settings say {ours.model_id}"
        remedy = (
            "`gazeloop models fill`, then `gazeloop models use` it; or set the old embedder again"
        )
        found.append(Finding(Level.WARNING, "embedder", what, remedy))
    return found

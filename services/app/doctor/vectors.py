"""Check the vector store: the live model, and that it has the vectors that MongoDB lists."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from services.app.doctor.finding import Finding, Level
from services.contracts.events import FrameEmbedded
from services.contracts.identity import ModelId, PointId
from services.domain.chunks import chunks
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    VectorReader,
    collection_of,
    live_model,
    models_of,
)
from services.embedder.models.choosing import source_of
from services.embedder.models.model_settings import settings_of
from services.runtime.embedded.mongod import FOLDER as MONGODB_FOLDER
from services.runtime.settings import Settings
from services.runtime.stores.blobs_fsspec import LazyBlobs
from services.runtime.stores.embedded_points import lost_frames
from services.runtime.stores.embeddings_mongo import MongoEmbeddings
from services.runtime.stores.mongo import connected
from services.runtime.stores.vectors_edge_names import EDGE_FOLDER
from services.runtime.stores.vectors_open import open_vector_store

_PART = "vectors"
_NO_COLLECTION = "gazeloop-doctor"
"""A collection that nobody creates."""
_NEWEST = 500
_AT_RANDOM = 1000
"""Number of frames whose vectors are looked up."""
_MIN_DRAWN = 100
"""Number of random frames from which on a bound for all frames is reported."""
_AT_ONCE = 250


def has_vectors(settings: Settings) -> bool:
    """Whether there is anything to check: a server, or vectors in the data folder."""
    parts = (MONGODB_FOLDER, EDGE_FOLDER)  # one without the other is a finding
    return bool(settings.qdrant) or any((settings.data / part).exists() for part in parts)


async def look_at_vectors(settings: Settings, *, model: bool) -> list[Finding]:
    """Check the live model, lost vectors, and write access.

    Parameters
    ----------
    model : whether to compare the live model with the configured embedder

    Raises
    ------
    StoreUnavailable, InvalidSettings
        It does not answer, refuses access, or allows reading only.
    """
    store = open_vector_store(settings)
    try:
        live = await live_model(store, REGION_VECTORS)
        # Changes nothing, but fails for a read-only key.
        await store.delete(_NO_COLLECTION, [PointId("00000000-0000-0000-0000-000000000000")])
        where = settings.qdrant or f"Qdrant Edge in {settings.data}"
        found = [Finding(Level.OK, _PART, f"{where} answers; {_live(live)}")]
        found += await _lost(store, settings, live)
        if model:
            found += await _compared(store, settings, live)
        return found
    finally:
        await store.close()


def _live(model: ModelId | None) -> str:
    return f"live model: {model}" if model else "nothing is embedded yet"


async def _lost(store: VectorReader, settings: Settings, live: ModelId | None) -> list[Finding]:
    """Vectors that MongoDB records as written, but that the store lacks.

    Checks the newest frames, which a restored snapshot would lack, and a random sample: checking
    all of a large store would take hours.
    """
    events: defaultdict[ModelId, list[FrameEmbedded]] = defaultdict(list)
    async with connected(settings) as database:
        for embedded in await MongoEmbeddings(database).sample(_NEWEST, _AT_RANDOM):
            events[embedded.model].append(_in_short(embedded))
    kept = {*models_of(await store.collections()), live}
    # A model without collections was dropped on purpose, unless there is no other model.
    models = [model for model in sorted(events) if model in kept or live is None]
    return [
        _counted(model, len(events[model]), await _lost_of(store, events[model]))
        for model in models
    ]


def _in_short(event: FrameEmbedded) -> FrameEmbedded:
    """The event with one region: a frame may have hundreds, and they are rarely lost singly."""
    kept = [(detector, regions[:1]) for detector, regions in event.regions.items() if regions]
    return event.model_copy(update={"regions": dict(kept[:1])})


async def _lost_of(store: VectorReader, events: Sequence[FrameEmbedded]) -> int:
    """The number of events that lack a vector."""
    lost = 0
    for chunk in chunks(events, _AT_ONCE):
        lost += len(await lost_frames(store, chunk))
    return lost


def _counted(model: ModelId, frames: int, lost: int) -> Finding:
    if not lost:
        text = f"{model}: {frames:,} sampled frames have all their vectors"
        drawn = frames - _NEWEST
        if drawn >= _MIN_DRAWN:
            # Rule of three (Hanley and Lippman-Hand, JAMA 1983): with none of n lost, the share
            # of lost ones is below 3 / n with 95% confidence.
            text += f"; with 95% confidence, fewer than {3 / drawn:.1%} of all frames lack one"
        return Finding(Level.OK, _PART, text)
    text = (
        f"{model} lacks vectors of {lost:,} of {frames:,} sampled frames that MongoDB records as"
        " embedded: searches miss them"
    )
    return Finding(Level.ERROR, _PART, text, _filled_by(model))


def _filled_by(model: ModelId) -> str:
    again = "recomputes them from the images"
    made_by = settings_of(model)
    if made_by is None:
        return f"`gazeloop models fill`, with the settings of the embedder that made them, {again}"
    options = " ".join(f"--set {name}={value}" for name, value in made_by.settings.items())
    file = f"; set GAZELOOP_WEIGHTS too if its weights ({made_by.weights}…) came from a file"
    return f"`gazeloop {options} models fill` {again}{file}"


async def _compared(store: VectorReader, settings: Settings, live: ModelId | None) -> list[Finding]:
    embedder = await asyncio.to_thread(source_of, settings, LazyBlobs(settings.blob_url))
    found = []
    for alias, wanted in (
        (FRAME_VECTORS, embedder.frame_dimension),
        (REGION_VECTORS, embedder.region_dimension),
    ):
        collection = collection_of(alias, embedder.model_id)
        held = await store.dimension(collection)
        if held is not None and held != wanted:
            problem = (
                f"{collection} has vectors of dimension {held}, but the embedder makes {wanted}"
            )
            remedy = (
                "something else created it: delete it in Qdrant, and `gazeloop models fill`"
                " creates it again"
            )
            found.append(Finding(Level.ERROR, _PART, problem, remedy))
    if live is not None and live != embedder.model_id:
        problem = f"searches use {live}, but the configured embedder is {embedder.model_id}"
        remedy = (
            "run `gazeloop models fill`, then `gazeloop models use`; or configure the live model"
        )
        found.append(Finding(Level.WARNING, "embedder", problem, remedy))
    return found

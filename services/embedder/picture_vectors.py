"""Vectors that an embedding model computes from the stored images."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Final

from services.contracts.errors import Invalid
from services.contracts.identity import ModelId
from services.domain.chunks import chunks
from services.domain.ports.blobs import BlobStore
from services.embedder import logic
from services.embedder.embedder import Embedder, FrameVectors
from services.embedder.logic import EmbeddingTask, Region
from services.embedder.vector_source import EmbeddedPass
from services.runtime.images import Decoded, ImageLimits, decode_scaled
from services.runtime.observability import metrics
from services.runtime.settings import Settings

_DECODERS: Final = os.cpu_count() or 1
"""Threads that decode the pictures of a pass."""


class PictureVectors:
    """Reads and decodes the images of a pass while the pass before is embedded."""

    def __init__(self, embedder: Embedder, blobs: BlobStore, settings: Settings) -> None:
        self._embedder = embedder
        self._blobs = blobs
        self._settings = settings
        self._limits = ImageLimits.of(settings)

    @property
    def model_id(self) -> ModelId:
        """The embedder's."""
        return self._embedder.model_id

    @property
    def frame_dimension(self) -> int:
        """The embedder's."""
        return self._embedder.frame_dimension

    @property
    def region_dimension(self) -> int:
        """The embedder's."""
        return self._embedder.region_dimension

    def has_vector(self, region: Region) -> bool:
        """Every region has: it is a part of its image."""
        del region
        return True

    async def passes(self, tasks: Sequence[EmbeddingTask]) -> AsyncGenerator[EmbeddedPass]:
        """Embed pass by pass, while the next pass is decoded."""
        parted = logic.passes(
            tasks,
            frames=self._settings.embed_batch,
            # Half, because two passes are in memory: one is decoded while the other is embedded.
            size_bytes=self._settings.embed_queue_bytes // 2,
            decoded_side=self._embedder.decoded_side,
        )
        ahead = asyncio.create_task(self._decode(parted[0] if parted else ()))
        try:
            for one, following in pairwise([*parted, []]):
                pictures = await ahead
                ahead = asyncio.create_task(self._decode(following))
                yield await self._embed(one, pictures)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _decode(self, tasks: Sequence[EmbeddingTask]) -> list[Decoded | Invalid]:
        if not tasks:
            return []
        # A thread's job for each picture would take as long as decoding a small one.
        size = -(-len(tasks) // _DECODERS)
        decoding = (asyncio.to_thread(self._pictures, part) for part in chunks(tasks, size))
        with metrics.DECODE_SECONDS.time():
            found = await asyncio.gather(*decoding)
        return [picture for part in found for picture in part]

    def _pictures(self, tasks: Sequence[EmbeddingTask]) -> list[Decoded | Invalid]:
        return [self._picture(task) for task in tasks]

    def _picture(self, task: EmbeddingTask) -> Decoded | Invalid:
        try:
            content = self._blobs.get(task.captured.image.uri)
            return decode_scaled(content, self._limits, self._embedder.decoded_side)
        except Invalid as exc:
            return exc

    async def _embed(
        self, tasks: Sequence[EmbeddingTask], pictures: Sequence[Decoded | Invalid]
    ) -> EmbeddedPass:
        both = list(zip(tasks, pictures, strict=True))
        sound = [(task, item) for task, item in both if not isinstance(item, Invalid)]
        vectors: list[FrameVectors] = []
        if sound:
            with metrics.FORWARD_SECONDS.labels(self._embedder.model_id).time():
                vectors = await asyncio.to_thread(self._forward, sound)
        broken = {
            task.captured.frame_id: invalid
            for task, invalid in both
            if isinstance(invalid, Invalid)
        }
        return EmbeddedPass([task for task, _ in sound], vectors, broken)

    def _forward(self, sound: Sequence[tuple[EmbeddingTask, Decoded]]) -> list[FrameVectors]:
        boxes = [
            logic.boxes_within(task, decoded.picture.size, (decoded.width, decoded.height))
            for task, decoded in sound
        ]
        return self._embedder.embed([decoded.picture for _, decoded in sound], boxes)

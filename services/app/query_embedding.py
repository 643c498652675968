"""Make the vectors of what people search by on the review page."""

import asyncio
from pathlib import Path

from services.annotation.ports.query_embedder import Query
from services.app.searching import image_vector, text_vector
from services.contracts.identity import Box
from services.embedder.embedder import Embedder
from services.embedder.models.choosing import ONNX_SUFFIX, embedder_of
from services.embedder.models.model_card import read_card
from services.embedder.models.text_tower import TextTower
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings


class SettingsEmbedder:
    """The embedder that the settings name; its network is read at the first search."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = ImageLimits.of(settings)
        self._embedder: Embedder | None = None
        self._tower: TextTower | None = None
        self._embedding = asyncio.Lock()
        """A network computes one query at a time."""
        named = settings.embedder
        self._reads_text = named.endswith(ONNX_SUFFIX) and read_card(Path(named)).text is not None

    @property
    def reads_text(self) -> bool:
        """Whether the embedder's card names a text tower."""
        return self._reads_text

    async def of_box(self, content: bytes, box: Box) -> Query:
        """The query of a part of an image file.

        Raises
        ------
        MissingWeights, InvalidSettings
            There is no such embedder.
        InvalidImage, InvalidRecord
            The image is unreadable, or the region is outside of it.
        """
        async with self._embedding:
            return await asyncio.to_thread(self._box, content, box)

    async def of_text(self, text: str, *, regions: bool) -> Query:
        """The query of a text, for regions or for frames.

        Raises
        ------
        MissingWeights, MissingPart, InvalidSettings
            There is no such embedder, it has no text tower, or regions are not in its space.
        """
        async with self._embedding:
            return await asyncio.to_thread(self._text, text, regions=regions)

    def _box(self, content: bytes, box: Box) -> Query:
        embedder = self._opened()
        return Query(embedder.model_id, image_vector(content, box, embedder, self._limits))

    def _text(self, text: str, *, regions: bool) -> Query:
        self._tower = self._tower or TextTower.of(self._settings)
        embedder = self._opened()
        vector = text_vector(self._tower.embed(text), embedder, regions=regions)
        return Query(embedder.model_id, vector)

    def _opened(self) -> Embedder:
        self._embedder = self._embedder or embedder_of(self._settings)
        return self._embedder

"""Vectors that come with the events, from a model that runs on the vehicle or in the detector."""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Self

import numpy as np
import structlog

from services.contracts.bounds import MAX_DIMENSIONS
from services.contracts.errors import Invalid, InvalidRecord, InvalidSettings
from services.contracts.events import FrameVector
from services.contracts.identity import FrameId, ModelId
from services.domain.arrays import Vector
from services.domain.chunks import chunks
from services.domain.unit_vectors import scaled_to_unit
from services.embedder.embedder import FrameVectors
from services.embedder.logic import EmbeddingTask, Region
from services.embedder.vector_source import EmbeddedPass
from services.runtime.observability import metrics
from services.runtime.settings import Settings

EVENT_PREFIX = "event:"
_SETTING = re.compile(r"event:(?P<name>.+?):(?P<frame>\d{1,5})(?:,(?P<region>\d{1,5}))?")
_UNFIT_FOR_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_AT_ONCE = 64
"""Frames per pass: some megabytes of vectors."""
log = structlog.get_logger(__name__)


class EventVectors:
    """Takes the vectors of one model from FrameCaptured and PredictionsMade.

    Parameters
    ----------
    name : of the model, as in the events' `vector.model`
    frame_dimension, region_dimension : lengths of its vectors
    """

    def __init__(self, name: str, frame_dimension: int, region_dimension: int) -> None:
        self._name = name
        self.frame_dimension = frame_dimension
        self.region_dimension = region_dimension
        self.model_id = ModelId(f"event-{_plain(name)}-{frame_dimension}d-{region_dimension}d")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The model that `GAZELOOP_EMBEDDER=event:MODEL:DIMENSION` names.

        Raises
        ------
        InvalidSettings
            It is written otherwise, or a dimension is out of range.
        """
        found = _SETTING.fullmatch(settings.embedder)
        if found is None:
            raise InvalidSettings(
                f"GAZELOOP_EMBEDDER={settings.embedder}: write event:MODEL:DIMENSION, or"
                " event:MODEL:FRAMES,REGIONS where frames and regions have different dimensions"
            )
        frame = int(found["frame"])
        region = int(found["region"] or frame)
        if not (0 < frame <= MAX_DIMENSIONS and 0 < region <= MAX_DIMENSIONS):
            raise InvalidSettings(
                f"GAZELOOP_EMBEDDER={settings.embedder}: dimensions from 1 to {MAX_DIMENSIONS} are"
                " allowed"
            )
        source = cls(found["name"], frame, region)
        log.info("embedder_chosen", model=source.model_id)
        return source

    def has_vector(self, region: Region) -> bool:
        """Whether its detection has a usable vector of the model; others are counted."""
        if region.detector is None:
            return False
        try:
            self._read(region.vector, self.region_dimension)
        except InvalidRecord as exc:
            metrics.REGIONS_WITHOUT_VECTOR.labels(self.model_id, exc.reason).inc()
            return False
        return True

    async def passes(self, tasks: Sequence[EmbeddingTask]) -> AsyncGenerator[EmbeddedPass]:
        """Read the vectors; a frame without a usable one is broken."""
        for chunk in chunks(tasks, _AT_ONCE):
            sound: list[EmbeddingTask] = []
            vectors: list[FrameVectors] = []
            broken: dict[FrameId, Invalid] = {}
            for task in chunk:
                try:
                    vectors.append(self._vectors(task))
                    sound.append(task)
                except InvalidRecord as exc:
                    broken[task.captured.frame_id] = exc
            yield EmbeddedPass(sound, vectors, broken)

    def _vectors(self, task: EmbeddingTask) -> FrameVectors:
        frame = self._read(task.captured.vector, self.frame_dimension)
        regions = [self._read(region.vector, self.region_dimension) for region in task.missing]
        shape = (len(regions), self.region_dimension)
        return FrameVectors(
            scaled_to_unit(frame), scaled_to_unit(np.array(regions, np.float32).reshape(shape))
        )

    def _read(self, vector: FrameVector | None, dimension: int) -> Vector:
        """The values of a vector on an event.

        Raises
        ------
        InvalidRecord
            `no_vector`: there is none of this model; `invalid_vector`: its values are not
            `dimension` finite numbers.
        """
        if vector is None or vector.model != self._name:
            found = (
                "none came; events of version 1 have none (GAZELOOP_EVENT_VERSION)"
                if vector is None
                else f"one of {vector.model} came"
            )
            raise InvalidRecord(f"a vector of {self._name} is needed; {found}", reason="no_vector")
        try:
            content = base64.b64decode(_padded(vector.values), altchars=b"-_", validate=True)
            values = np.frombuffer(content, "<f4")
        except (binascii.Error, ValueError) as exc:
            raise InvalidRecord(f"the vector: {exc}", reason="invalid_vector") from exc
        if len(values) != dimension or not np.isfinite(values).all():
            raise InvalidRecord(
                f"the vector has {len(values)} numbers; {dimension} finite ones are expected",
                reason="invalid_vector",
            )
        return values.astype(np.float32)


def _plain(name: str) -> str:
    """The name as part of a collection's name; another name gives another one."""
    plain = _UNFIT_FOR_NAMES.sub("_", name)
    if plain == name:
        return name
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _padded(values: str) -> str:
    """Base64 in the alphabet for URLs, with the padding that some writers leave out."""
    bare = values.rstrip("=").replace("+", "-").replace("/", "_")
    return bare + "=" * (-len(bare) % 4)

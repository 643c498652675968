"""Frames, predictions, ground truth, needles and vectors as a data set that FiftyOne opens.

FiftyOne is not needed here: the folder has images, `samples.jsonl`, the vectors as float32 files,
and `load.py`, which builds the data set with FiftyOne's own functions where FiftyOne is installed.
Its own file format has no stable description.
"""

import asyncio
import base64
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson

from services.annotation.exporting import require_empty
from services.annotation.stores.opening import AnnotationStores
from services.contracts.errors import Invalid
from services.contracts.events import (
    Annotation,
    Detection,
    FrameAnnotated,
    FrameCaptured,
    PredictionsMade,
    Rle,
    Split,
)
from services.contracts.identity import (
    Box,
    FrameId,
    ModelId,
    RegionId,
    frame_point_id,
    region_point_id,
)
from services.domain.arrays import Vector
from services.domain.chunks import chunks
from services.domain.detection.mask_shapes import pixels
from services.domain.ports.frames import FrameRecord
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    VectorReader,
    collection_of,
    live_model,
)
from services.domain.splits import SplitRule
from services.domain.withdrawal import in_force
from services.formats.writers.frames import ExportFrame
from services.runtime.embedded.private_folder import as_the_user_writes
from services.runtime.shown_images import ShownImages

_PAGE = 200
_LOADER = files("services.formats.writers") / "fiftyone_loader.py"
"""Not imported: it needs FiftyOne."""
Sample = dict[str, object]


@dataclass(frozen=True)
class FiftyOneCounts:
    """What was written; frames with `unreadable` or hidden images are left out."""

    frames: int
    regions_with_vector: int
    unreadable: int


class FiftyOneExport:
    """Writes a folder for FiftyOne, page by page."""

    def __init__(
        self,
        stores: AnnotationStores,
        vectors: VectorReader,
        images: ShownImages,
        rule: SplitRule,
        folder: Path,
    ) -> None:
        self._images = images
        self._stores = stores
        self._vectors = vectors
        self._rule = rule
        self._folder = folder

    async def write(self, advance: Callable[[int], None] = lambda _: None) -> FiftyOneCounts:
        """Write everything; the folder must be empty or not exist.

        Parameters
        ----------
        advance : called with the number of frames written so far

        Raises
        ------
        InvalidRecord
            `folder_in_use`: the folder is not empty.
        StoreUnavailable
            A store does not answer.
        """
        await asyncio.to_thread(self._prepare)
        model = await live_model(self._vectors, REGION_VECTORS)
        failures, shortlisted = await self._needles()
        frames = unreadable = embedded = 0
        with ExitStack() as closing:
            samples, *floats = (
                closing.enter_context((self._folder / name).open("wb"))
                for name in ("samples.jsonl", "frames.f32", "regions.f32")
            )
            async for records in self._pages():
                vectors = await self._vectors_of(model, records) if model else {}
                page = _Page(failures, shortlisted, self._rule, vectors, model)
                made = await asyncio.to_thread(self._written, page, records, samples, floats)
                frames += made.frames
                embedded += made.regions_with_vector
                unreadable += made.unreadable
                advance(frames)
        return FiftyOneCounts(frames, embedded, unreadable)

    @as_the_user_writes()
    def _prepare(self) -> None:
        require_empty(self._folder)
        (self._folder / "images").mkdir(parents=True, exist_ok=True)
        (self._folder / "load.py").write_bytes(_LOADER.read_bytes())

    async def _needles(self) -> tuple[Mapping[RegionId, str], set[FrameId]]:
        """The error types of regions that are needles, and the frames on shortlists."""
        failures: dict[RegionId, str] = {}
        shortlisted: set[FrameId] = set()
        async for record in self._stores.needles.scan():
            if record.needle is not None and record.active:
                failures[record.needle.region_id] = record.needle.error_type.value
            if record.shortlist is not None:
                shortlisted |= {candidate.frame_id for candidate in record.shortlist.candidates}
        return failures, shortlisted

    async def _pages(self) -> AsyncIterator[list[FrameRecord]]:
        frame_ids = await self._stores.frame_ids.captured()
        for ids in chunks(frame_ids, _PAGE):
            records = await self._stores.frames.load(ids)
            yield [records[frame_id] for frame_id in ids if frame_id in records]

    async def _vectors_of(
        self, model: ModelId, records: Sequence[FrameRecord]
    ) -> dict[str, Vector]:
        """The live model's vectors of frames and detections, by the frame's or region's id."""
        frames = {frame_point_id(model, record.frame_id): record.frame_id for record in records}
        regions = {
            region_point_id(model, region): region
            for record in records
            for predictions in record.predictions.values()
            for region in predictions.region_ids()
        }
        found = await self._vectors.load(collection_of(FRAME_VECTORS, model), frames)
        found |= await self._vectors.load(collection_of(REGION_VECTORS, model), regions)
        return {frames.get(point) or regions[point]: vector for point, vector in found.items()}

    @as_the_user_writes()
    def _written(
        self,
        page: "_Page",
        records: Sequence[FrameRecord],
        samples: BinaryIO,
        floats: Sequence[BinaryIO],
    ) -> FiftyOneCounts:
        unreadable = 0
        for record in records:
            captured = record.captured
            assert captured is not None
            name = ExportFrame.of(captured, record.ground_truth).file_name
            try:
                content = self._images.content(self._images.of_frame(record))
            except Invalid:
                unreadable += 1
                continue
            (self._folder / "images" / name).write_bytes(content)
            sample = page.sample(record, captured, f"images/{name}")
            samples.write(orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))
        for file, vectors in zip(floats, (page.frame_vectors, page.region_vectors), strict=True):
            file.writelines(np.asarray(vector, "<f4").tobytes() for vector in vectors)
        count = len(records) - unreadable
        return FiftyOneCounts(count, len(page.region_vectors), unreadable)


class _Page:
    """Samples of some frames, and their vectors in the samples' order."""

    def __init__(
        self,
        failures: Mapping[RegionId, str],
        shortlisted: set[FrameId],
        rule: SplitRule,
        vectors: Mapping[str, Vector],
        model: ModelId | None,
    ) -> None:
        self._failures = failures
        self._shortlisted = shortlisted
        self._rule = rule
        self._vectors = vectors
        self._model = model
        self.frame_vectors: list[Vector] = []
        self.region_vectors: list[Vector] = []

    def sample(self, record: FrameRecord, captured: FrameCaptured, file: str) -> Sample:
        """One frame as `load.py` reads it."""
        size = (captured.image.width, captured.image.height)
        place = captured.position
        vector = self._vectors.get(record.frame_id)
        if vector is not None:
            self.frame_vectors.append(vector)
        truth = in_force(record.ground_truth)
        return {
            "frame_id": record.frame_id,
            "file": file,
            "tags": self._tags(record, captured),
            "vehicle_id": captured.vehicle_id,
            "drive_id": captured.drive_id,
            "captured_at": captured.captured_at.isoformat(),
            "location": place and [place.lon, place.lat],
            "frame_tags": captured.tags or {},
            "dimension": None if vector is None else len(vector),
            "model": self._model,
            "ground_truth": None if truth is None else self._annotations(truth, size),
            "predictions": {
                detector: self._detections(predictions, size)
                for detector, predictions in record.predictions.items()
            },
        }

    def _annotations(self, truth: FrameAnnotated, size: tuple[int, int]) -> list[Sample]:
        return [
            self._label(region, item, size) | {"iscrowd": item.crowd}
            for region, item in zip(truth.annotation_ids(), truth.annotations, strict=True)
        ]

    def _detections(self, predictions: PredictionsMade, size: tuple[int, int]) -> list[Sample]:
        regions = zip(predictions.region_ids(), predictions.detections, strict=True)
        return [
            self._label(region, item, size) | {"confidence": item.score} | self._with_vector(region)
            for region, item in regions
        ]

    def _tags(self, record: FrameRecord, captured: FrameCaptured) -> list[str]:
        split = self._rule.split_of(captured.frame_id, captured.drive_id)
        tags = ["reference" if split is Split.REFERENCE else "haystack"]
        return [*tags, "shortlisted"] if record.frame_id in self._shortlisted else tags

    def _label(
        self, region: RegionId, item: Detection | Annotation, size: tuple[int, int]
    ) -> Sample:
        failure = self._failures.get(region)
        x, y, width, height = item.bbox
        return {
            "label": item.category,
            "region_id": region,
            "bounding_box": [x / size[0], y / size[1], width / size[0], height / size[1]],
            "tags": ["needle", failure] if failure is not None else [],
            "mask": item.mask and _within(item.mask, item.bbox, size),
        }

    def _with_vector(self, region: RegionId) -> Sample:
        vector = self._vectors.get(region)
        if vector is not None:
            self.region_vectors.append(vector)
        return {"dimension": None if vector is None else len(vector)}


def _within(mask: Rle, box: Box, size: tuple[int, int]) -> Sample:
    """The part of a mask within a box, as FiftyOne has masks: one bit per pixel, row by row."""
    shown = pixels(mask)
    down, across = shown.shape[0] / size[1], shown.shape[1] / size[0]
    x, y, width, height = box
    left, top = int(x * across), int(y * down)
    part = shown[top : max(top + 1, math.ceil((y + height) * down))]
    part = part[:, left : max(left + 1, math.ceil((x + width) * across))]
    bits = base64.b64encode(np.packbits(part).tobytes()).decode()
    return {"size": list(part.shape), "bits": bits}

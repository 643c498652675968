"""Reads a bounded sample of frames, and estimates precision where nothing is annotated.

Frames are drawn by the ids of their vectors, which are hashes, so of each split it is a uniform
sample. As for failure models, reference frames and haystack frames that were annotated again count
as annotated; what else a data set says of the haystack does not.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from services.contracts.events import REANNOTATION_SOURCE, Split
from services.contracts.identity import Category, DetectorId, FrameId, ModelId, RegionId, frame_hash
from services.domain.arrays import FloatArray, IntArray, Vector
from services.domain.chunks import chunks
from services.domain.derived_tags import tags_of
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.estimated_precision import (
    EstimatedStream,
    SampledDetections,
    SampledFrames,
    estimate_stream,
)
from services.domain.metrics.slice_pairs import Tag
from services.domain.mining.error_probability import ClusteredDetections
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    VectorReader,
    collection_of,
    live_model,
)
from services.retriever.caches import VectorCache
from services.retriever.labelled_regions import LabelledRegions, modes_of_regions
from services.retriever.logic import FrameFacts
from services.runtime.settings import Settings

MAX_FRAMES: Final = {Split.REFERENCE: 2_000, Split.HAYSTACK: 4_000}
"""Of each split."""
MAX_REGIONS: Final = {True: 5_000, False: 20_000}
"""Of each detector, on annotated frames and on others. With this many, an estimate takes half a
second of a core, and 300 MB of memory for that time."""
_MAX_CORRECTED: Final = 2_000
_MAX_SCANNED: Final = 100_000
"""Reference frames may be few."""
_SCANNED_AT_ONCE: Final = 1_000
_FRAMES_AT_ONCE: Final = 100


class _Truth(NamedTuple):
    """The labels that annotations give to a detector's regions on a frame.

    Attributes
    ----------
    wrong : by region, without ignored ones
    """

    reference: bool
    wrong: dict[RegionId, bool]


class _Frame(NamedTuple):
    vector: Vector
    cluster: str
    truth: _Truth | None
    tags: Sequence[Tag]

    @property
    def annotated(self) -> bool:
        return self.truth is not None

    @property
    def reference(self) -> bool:
        return self.truth is not None and self.truth.reference


class _Region(NamedTuple):
    """A detection with a vector.

    Attributes
    ----------
    frame : the number of its frame
    wrong : meaningless where the frame is not annotated
    """

    vector: Vector
    features: FloatArray
    category: Category
    score: float
    frame: int
    wrong: bool


@dataclass
class _Read:
    """What was read of one detector."""

    frames: list[_Frame] = field(default_factory=list)
    regions: list[_Region] = field(default_factory=list)
    counts: Counter[bool] = field(default_factory=Counter)
    """Of regions, on annotated frames and on others."""

    def put(self, frame: _Frame, regions: Iterable[_Region]) -> None:
        """Add a frame with its regions."""
        before = len(self.regions)
        self.frames.append(frame)
        self.regions += regions
        self.counts[frame.annotated] += len(self.regions) - before

    def is_full(self, *, annotated: bool) -> bool:
        """Whether regions of annotated frames, or of others, are as many as are used."""
        return self.counts[annotated] >= MAX_REGIONS[annotated]

    def estimated(self, detector: DetectorId, operating: OperatingScores) -> EstimatedStream | None:
        """What is estimated from this."""
        if not self.regions:
            return None
        clusters = _numbered([frame.cluster for frame in self.frames])
        of_frame = np.array([region.frame for region in self.regions], np.int64)
        frames = SampledFrames(
            np.stack([frame.vector for frame in self.frames]),
            clusters,
            np.array([frame.annotated for frame in self.frames]),
            np.array([frame.reference for frame in self.frames]),
            [frame.tags for frame in self.frames],
        )
        detections = ClusteredDetections(
            np.stack([region.features for region in self.regions]),
            np.stack([region.vector for region in self.regions]),
            _numbered([region.category for region in self.regions]),
            clusters[of_frame],
        )
        least = {r.category: operating.of(detector, r.category) for r in self.regions}
        shown = np.array([region.score >= least[region.category] for region in self.regions])
        wrong = np.array([region.wrong for region in self.regions])
        return estimate_stream(frames, SampledDetections(detections, of_frame, shown, wrong))


def _numbered(names: Sequence[str]) -> IntArray:
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


class StreamSample:
    """Estimates the precision of every detector on the frames without annotations."""

    def __init__(
        self, frames: FrameStore, matches: MatchStore, vectors: VectorReader, settings: Settings
    ) -> None:
        self._frames = frames
        self._matches = matches
        self._vectors = vectors
        self._regions = VectorCache(vectors, settings.vector_cache_bytes)
        self._settings = settings

    async def estimates(self) -> dict[DetectorId, EstimatedStream]:
        """What is estimated of each detector that has enough annotated detections.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        model = await live_model(self._vectors, REGION_VECTORS)
        if model is None:
            return {}
        found, operating = {}, self._settings.operating_scores
        for detector, read in sorted((await self._read(model)).items()):
            estimated = await asyncio.to_thread(read.estimated, detector, operating)
            if estimated is not None:
                found[detector] = estimated
        return found

    async def _read(self, model: ModelId) -> Mapping[DetectorId, _Read]:
        sampled = await self._sampled(model)
        read: defaultdict[DetectorId, _Read] = defaultdict(_Read)
        # Where there are too many regions, those of the last frames are left out.
        ids = sorted(sampled, key=frame_hash)
        for chunk in chunks(ids, _FRAMES_AT_ONCE):
            batch = {frame: sampled[frame] for frame in chunk}
            await self._add(read, batch, model)
        return read

    async def _sampled(self, model: ModelId) -> dict[FrameId, Vector]:
        """The frames that are drawn, with their vectors."""
        room, scanned = dict(MAX_FRAMES), 0
        found: dict[FrameId, Vector] = {}
        collection = collection_of(FRAME_VECTORS, model)
        async for points in self._vectors.scan(collection, _SCANNED_AT_ONCE):
            for point in points:
                split = Split(str(point.payload["split"]))
                if room[split]:
                    room[split] -= 1
                    found[FrameId(str(point.payload["frame_id"]))] = point.vector
            scanned += len(points)
            if not any(room.values()) or scanned >= _MAX_SCANNED:
                break
        corrected = await self._frames.annotated_from(REANNOTATION_SOURCE)
        drawn = sorted(corrected, key=frame_hash)[:_MAX_CORRECTED]
        return found | await self._regions.load_frames(model, set(drawn) - found.keys())

    async def _add(
        self,
        read: defaultdict[DetectorId, _Read],
        sampled: Mapping[FrameId, Vector],
        model: ModelId,
    ) -> None:
        """Add sampled frames to what was read of the detectors that processed them."""
        records = await self._frames.load(sampled)
        truths = await self._truths(records)
        facts = await asyncio.to_thread(_facts_of, records.values())
        embedded = {
            region
            for seen in facts
            for region, found in seen.regions.items()
            if found.score >= self._settings.region_score
        }
        vectors = await self._regions.load(model, embedded)
        for seen in facts:
            if seen.is_copy and not self._settings.count_copies:
                continue
            frame_id = seen.context.frame
            captured = records[frame_id].captured
            assert captured is not None
            tags = tuple(tags_of(captured).items())
            for detector in records[frame_id].predictions:
                of_detector, truth = read[detector], truths.get((frame_id, detector))
                if of_detector.is_full(annotated=truth is not None):
                    continue
                frame = _Frame(sampled[frame_id], seen.context.drive or frame_id, truth, tags)
                of_detector.put(
                    frame, _regions_of(seen, detector, vectors, truth, len(of_detector.frames))
                )

    async def _truths(
        self, frame_ids: Collection[FrameId]
    ) -> Mapping[tuple[FrameId, DetectorId], _Truth]:
        """What is known of annotated frames, by frame and detector."""
        truths: dict[tuple[FrameId, DetectorId], _Truth] = {}
        for match in await self._matches.load(frame_ids):
            is_reference = match.split is Split.REFERENCE
            # Withdrawn ground truth leaves empty matches: its frame is not annotated.
            if (is_reference or match.reannotated) and not match.is_empty:
                modes = modes_of_regions([LabelledRegions.of(match)], self._settings.region_score)
                key = match.frame_id, match.detector
                wrong = truths.setdefault(key, _Truth(is_reference, {})).wrong
                wrong.update({region: mode is not None for region, mode in modes.items()})
        return truths


def _facts_of(records: Iterable[FrameRecord]) -> list[FrameFacts]:
    return [facts for record in records if (facts := FrameFacts.of(record)) is not None]


def _regions_of(
    seen: FrameFacts,
    detector: DetectorId,
    vectors: Mapping[RegionId, Vector],
    truth: _Truth | None,
    frame: int,
) -> Iterator[_Region]:
    """The detector's regions on a frame; of an annotated one, those that are right or wrong."""
    for region, found in seen.regions.items():
        region_detector, category = found.detector_category
        vector = vectors.get(region)
        if region_detector != detector or vector is None:
            continue
        wrong = False if truth is None else truth.wrong.get(region)
        if wrong is not None:
            yield _Region(vector, found.features, category, found.score, frame, wrong)

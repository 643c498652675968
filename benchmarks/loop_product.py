"""Gazeloop itself as a strategy: the embedded stack, from events in to shortlists out.

A stack runs for all rounds of one run. It gets the reference with its ground truth, the pool, and
every round the predictions of the detector that was just trained, as a new version. What its
shortlists name is annotated from the truth that was held back, as a correction, and comes back
through `training-set`. Vectors are the detector's own features and come with the events. The broker
is in memory.
"""

import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from benchmarks.loop_detector import Found
from benchmarks.loop_features import FeatureMaps
from benchmarks.loop_frames import LoopSet, with_detections
from benchmarks.loop_strategies import Round
from services.annotation.exporting import training_set, write_export
from services.annotation.stores.opening import open_annotation_stores
from services.app.assembly import running
from services.app.parts import App
from services.contracts.events import Detection, FrameVector, Split
from services.contracts.flow import CONSUMERS
from services.contracts.identity import DetectorId, FrameId
from services.contracts.needles import Candidate
from services.domain.arrays import FloatArray, IntArray
from services.domain.splits import SplitRule
from services.formats.items import Detector, FrameItem
from services.formats.writers.coco import INSTANCES
from services.formats.writers.format_names import Format
from services.ingest.parts import IngestParts
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.runtime.clock import SystemClock
from services.runtime.embedded.memory_broker import MemoryBroker
from services.runtime.settings import Settings

_MODEL: Final = "loop-trunk"
_NAME: Final = "loop"
_HALF: Final = 0.5
_OF_REFERENCE: Final = SplitRule(_HALF, by_frame=True)


@dataclass
class ProductStrategy:
    """The shortlists of a running stack; a budget that they do not fill is drawn at random.

    Attributes
    ----------
    filled : by round, how many frames were drawn at random because shortlists named too few
    """

    app: App
    maps: FeatureMaps
    ids: dict[int, FrameId]
    filled: list[int] = field(default_factory=list)
    adapts: bool = True

    async def choose(self, state: Round, budget: int) -> IntArray:
        """See `loop_strategies.Strategy`."""
        if state.number == 1:
            await self._publish(self._captured(state))
        version = Detector(_NAME, str(state.number))
        await self._publish(self._predicted(state, version))
        await self.app.caught_up()
        listed = np.array(await self._listed(version, state), np.int64)[:budget]
        rest = state.rng.permutation(np.setdiff1d(state.open, listed))[: budget - len(listed)]
        self.filled.append(len(rest))
        return np.concatenate([listed, rest])

    async def annotate(self, data: LoopSet, frames: IntArray) -> IntArray:
        """Return corrections of these frames; the frames that `training-set` then exports."""
        items = [
            replace(data.frames[frame], frame_id=self.ids[frame], image=None)
            for frame in frames.tolist()
        ]
        await self._publish(items, Source.REANNOTATION)
        await self.app.caught_up()
        stores = await open_annotation_stores(self.app.stores)
        chosen = await training_set(stores, self.app.settings)
        with tempfile.TemporaryDirectory() as folder:
            write_export(chosen.frames, Format.COCO, Path(folder) / "set", {}, None)
            written = orjson.loads((Path(folder) / "set" / INSTANCES).read_bytes())
        frame_of = {frame_id: frame for frame, frame_id in self.ids.items()}
        return np.array([frame_of[image["frame_id"]] for image in written["images"]])

    async def _publish(self, items: Iterable[FrameItem], source: Source = Source.IMPORT) -> None:
        parts = IngestParts.of(self.app.stores, self.app.outbox, self.app.settings, SystemClock())
        summary = await publish_dataset(items, parts, source=source)
        if summary.rejections or summary.held:
            raise RuntimeError(f"{summary.rejections[:1]} {summary.held} was not published")

    def _captured(self, state: Round) -> Iterable[FrameItem]:
        """All frames, and the ground truth of the reference."""
        known = set(state.division.reference.tolist())
        for frame, frame_id in self.ids.items():
            item = replace(
                state.data.frames[frame],
                frame_id=frame_id,
                vector=_vector(self.maps.vectors[frame]),
            )
            yield item if frame in known else replace(item, annotations=None)

    def _predicted(self, state: Round, version: Detector) -> Iterable[FrameItem]:
        for frame, frame_id in self.ids.items():
            item = replace(
                state.data.frames[frame], frame_id=frame_id, image=None, annotations=None
            )
            found = state.found(frame)
            yield with_detections(item, self._described(frame, found, state.data), version)

    def _described(self, frame: int, found: Found, data: LoopSet) -> Sequence[Detection]:
        """The detections with the trunk's features at their centres."""
        features = np.asarray(self.maps.cells[frame][found.cell], np.float32)
        return [
            detection.model_copy(update={"vector": _vector(feature)})
            for detection, feature in zip(found.detections(data.categories), features, strict=True)
        ]

    async def _listed(self, version: Detector, state: Round) -> list[int]:
        """Frames on shortlists of this version, rank by rank."""
        frame_of = {frame_id: frame for frame, frame_id in self.ids.items()}
        detector = DetectorId(f"{version.name}@{version.version}")
        ranks: list[tuple[int, float, FrameId]] = []
        async for record in self.app.stores.needles.scan(detector=detector):
            if record.active and record.shortlist is not None:
                ranks += [
                    (place, -_evidence(candidate), candidate.frame_id)
                    for place, candidate in enumerate(record.shortlist.candidates)
                ]
        annotated = set(state.annotated.tolist())
        frames = dict.fromkeys(frame_of[frame_id] for _, _, frame_id in sorted(ranks))
        return [frame for frame in frames if frame not in annotated]


def _evidence(candidate: Candidate) -> float:
    return candidate.evidence


def _vector(values: FloatArray) -> FrameVector:
    content = np.ascontiguousarray(values, "<f4").tobytes()
    return FrameVector(model=_MODEL, values=b64encode(content).decode())


def split_ids(data: LoopSet, reference: IntArray, pool: IntArray) -> dict[int, FrameId]:
    """Ids that Gazeloop's own split rule puts on the side where a frame is to be."""
    return {
        frame: _id_in(data.frames[frame].frame_id, split)
        for frames, split in ((reference, Split.REFERENCE), (pool, Split.HAYSTACK))
        for frame in frames.tolist()
    }


def _id_in(frame_id: FrameId, split: Split) -> FrameId:
    tried = (FrameId(f"{frame_id}-{number}") for number in count())
    return next(one for one in tried if _OF_REFERENCE.split_of(one, None) is split)


@asynccontextmanager
async def product_strategy(
    name: str, state_of: Round, maps: FeatureMaps, *, budget: int, operating_score: float
) -> AsyncIterator[ProductStrategy]:
    """A stack on a folder that is deleted at the end.

    Parameters
    ----------
    name : of the product's strategy, as `shortlist_strategy` takes it
    state_of : the first round
    budget : frames per round
    operating_score : from which a false positive becomes a needle
    """
    dimension = maps.cells.shape[2]
    pool = len(state_of.division.pool)
    with tempfile.TemporaryDirectory() as folder, MemoryBroker() as broker:
        settings = Settings.model_validate(
            {
                "data": Path(folder),
                "kafka": str(broker.address),
                "http_port": 0,
                "metrics_port": 0,
                "event_version": 2,
                "embedder": f"event:{_MODEL}:{dimension}",
                "split_by": "frame",
                "reference_share": _HALF,
                "shortlist_early": 0.0,
                "shortlist_budget": (budget + _HALF) / pool,
                "shortlist_strategy": name,
                "mine_misses": name == "missed-objects",
                "operating_score": operating_score,
                "region_score": operating_score * _HALF,
                "epoch_s": 0.5,
            }
        )
        async with running(settings, CONSUMERS) as app:
            ids = split_ids(state_of.data, state_of.division.reference, state_of.division.pool)
            yield ProductStrategy(app, maps, ids)

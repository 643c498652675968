"""Compile all kernels, when an image is built: `python -m services.app.kernel_compilation`.

Numba compiles a kernel when it is first called with arguments of these types, and writes the result
to NUMBA_CACHE_DIR. So a little of everything that services compute is computed here, in the same
functions, on made-up frames.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import bson
import numpy as np

from services.contracts.events import (
    Annotation,
    Detection,
    FrameAnnotated,
    FrameCaptured,
    Image,
    IouType,
    PredictionsMade,
    Rle,
)
from services.contracts.identity import Category, FrameId, VehicleId, frame_hash
from services.contracts.matches import FrameMatched
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.match_columns import NamedColumns
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.mining.region_features import Shown, region_features
from services.domain.ports.shortlists import NOT_SHORTLISTED
from services.domain.splits import SplitRule
from services.evaluator.files.evaluation import FileEvaluation
from services.evaluator.live.logic import WINDOWS, confidence, evaluate, recent_maps
from services.formats.items import FrameItem, Located
from services.fp_miner.logic import MatchedFrame, matches_of
from services.runtime.stores.bson_columns import BsonColumns

_FRAMES = 100
"""So many that a curve is filled by sorting, and that the drift of two vehicles is tested."""
_CROWD = 200
"""So many detections that overlaps are summed in parts."""
_START = datetime(2026, 1, 1, tzinfo=UTC)
_OPERATING = OperatingScores(0.5)
_CATEGORY = Category("sign")
_VEHICLES = (VehicleId("v1"), VehicleId("v2"))
_WIDTH, _HEIGHT = 64, 48
_IMAGE = Image(
    sha256="0" * 64,
    uri="blob:none",
    size_bytes=1,
    media_type="image/jpeg",
    width=_WIDTH,
    height=_HEIGHT,
)
_OBJECT = (2.0, 3.0, 20.0, 15.0)
_MASK = Rle(size=(_HEIGHT, _WIDTH), counts="S3?Q10000000000000000000000000000000000000mn1")
_ANNOTATIONS = (Annotation(category=_CATEGORY, bbox=_OBJECT, mask=_MASK),)
_DETECTIONS = (
    Detection(category=_CATEGORY, score=0.9, bbox=_OBJECT),
    Detection(category=_CATEGORY, score=0.8, bbox=(40.0, 2.0, 12.0, 10.0)),
)


def compile_kernels() -> None:
    """Compile every kernel for all types of arguments with which services call it."""
    by_boxes = [_frame(n, version) for n in range(_FRAMES) for version in ("1", "2")]
    frames = [*by_boxes, _frame(_FRAMES, "1", iou_type="segm")]
    _evaluate(matches_of(frames, SplitRule(reference_share=0.5), _OPERATING))
    _evaluate_files()
    _weigh_regions()
    _read_documents()


def _frame(number: int, version: str, *, iou_type: IouType = "bbox") -> MatchedFrame:
    frame_id = FrameId(f"frame-{number}")
    return MatchedFrame(
        captured=FrameCaptured(
            frame_id=frame_id,
            vehicle_id=_VEHICLES[number % 2],
            captured_at=_START + number * timedelta(hours=1),
            image=_IMAGE,
        ),
        ground_truth=FrameAnnotated(frame_id=frame_id, annotations=_ANNOTATIONS),
        predictions=PredictionsMade(
            frame_id=frame_id,
            detector="d",
            version=version,
            iou_type=iou_type,
            detections=_DETECTIONS,
        ),
        membership=NOT_SHORTLISTED,
    )


def _evaluate(matches: Sequence[FrameMatched]) -> None:
    """What the evaluator, its reports and an erasure compute."""
    state = MatchState(_OPERATING, tuple(WINDOWS.values()))
    for batch in (matches, matches[:1]):
        state.add_named(NamedColumns.of_frames(batch))
    for detector in state.detectors():
        evaluate(state, detector, Subset.ALL, _OPERATING)
        recent_maps(state, detector, _START)
    confidence(state.snapshot())
    state.forget({frame_hash(matches[0].frame_id)})


def _evaluate_files() -> None:
    """What `gazeloop evaluate` computes."""
    evaluation = FileEvaluation(_OPERATING, "bbox")
    item = FrameItem(
        frame_id=FrameId("frame"),
        vehicle_id=_VEHICLES[0],
        location="",
        image=None,
        detections=tuple(Located(detection, "") for detection in _DETECTIONS),
        annotations=tuple(Located(annotation, "") for annotation in _ANNOTATIONS),
    )
    evaluation.add(item)
    evaluation.evaluated()


def _weigh_regions() -> None:
    """What the retriever computes of the detections of a crowded frame."""
    boxes = np.array([_OBJECT] * _CROWD)
    scores, categories = np.full(_CROWD, 0.9), np.zeros(_CROWD, np.int64)
    region_features(Shown(boxes, scores, categories, _WIDTH, _HEIGHT))


def _read_documents() -> None:
    """What reads MongoDB's documents as columns."""
    document = {"text": "x", "texts": ["y"], "number": 1, "bytes": b"z"}
    found = BsonColumns(bson.encode(document), list(document))
    found.strings("text")
    found.string_lists("texts")
    found.integers("number")
    found.joined("bytes", "u1")


if __name__ == "__main__":
    compile_kernels()

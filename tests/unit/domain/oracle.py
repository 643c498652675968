"""Random frames, and what pycocotools makes of them."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from services.contracts.events import (
    Annotation,
    Detection,
    FrameAnnotated,
    IouType,
    PredictionsMade,
    Split,
)
from services.contracts.identity import Category, DriveId, FrameId, VehicleId
from services.contracts.matches import CategoryMatched
from services.domain.detection.coco import METRICS
from services.domain.detection.frame_matching import frame_match, match_frame
from services.domain.metrics.confusion import Confusions, confusions_of

CATEGORIES = tuple(Category(name) for name in ("crossing", "light", "sign", "stop"))
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Frame:
    predictions: PredictionsMade
    truth: FrameAnnotated
    captured_at: datetime = START

    @property
    def frame_id(self) -> FrameId:
        return self.truth.frame_id


def _box(rng: np.random.Generator) -> tuple[float, float, float, float]:
    # Coarse on purpose: equal overlaps, overlaps of exactly .5, areas on the ranges' edges.
    size = rng.choice([16.0, 32.0, 48.0, 96.0, 128.0], 2)
    x, y = rng.integers(0, 12, 2) * 16.0
    return (float(x), float(y), float(size[0]), float(size[1]))


def _near(rng: np.random.Generator, box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, w, h = np.array(box) + rng.choice([-8.0, 0.0, 0.0, 0.0, 3.0], 4)
    return (float(x), float(y), float(max(w, 1.0)), float(max(h, 1.0)))


def random_frame(
    rng: np.random.Generator, number: int, *, detections: int = 8, truths: int = 6
) -> Frame:
    frame_id = FrameId(f"frame-{number:06d}")
    annotations = []
    for _ in range(rng.integers(0, truths + 1)):
        box = _box(rng)
        crowd = bool(rng.random() < 0.1)
        area = float(box[2] * box[3] * rng.choice([1.0, 0.5])) if rng.random() < 0.5 else None
        category = CATEGORIES[rng.integers(0, 3)]  # never "stop": a category without ground truth
        annotations.append(Annotation(category=category, bbox=box, area=area, crowd=crowd))
    found = []
    for _ in range(rng.integers(0, detections + 1)):
        near = annotations and rng.random() < 0.7
        truth = annotations[rng.integers(len(annotations))] if near else None
        category = CATEGORIES[rng.integers(0, 4)]
        if truth is not None and rng.random() < 0.8:
            category = truth.category
        box = _near(rng, truth.bbox) if truth is not None else _box(rng)
        score = float(rng.integers(0, 8) / 8)  # ties, within and between frames
        found.append(Detection(category=category, score=score, bbox=box))
    return Frame(
        PredictionsMade(frame_id=frame_id, detector="d", version="1", detections=tuple(found)),
        FrameAnnotated(frame_id=frame_id, annotations=tuple(annotations)),
        START + timedelta(minutes=int(rng.integers(0, 60 * 24 * 10))),
    )


def random_frames(seed: int, count: int = 12, **sizes: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    return [random_frame(rng, number, **sizes) for number in range(count)]


def matched(
    frame: Frame,
    *,
    revision: int = 1,
    split: Split = Split.HAYSTACK,
    shortlisted: bool = False,
    vehicle: str = "v1",
) -> list[CategoryMatched]:
    return [
        CategoryMatched(
            frame_id=frame.frame_id,
            detector=frame.predictions.detector_id,
            category=category,
            revision=revision,
            split=split,
            shortlisted=shortlisted,
            vehicle_id=VehicleId(vehicle),
            drive_id=DriveId("drive"),
            captured_at=frame.captured_at,
            **vars(match),
        )
        for category, match in match_frame(frame.predictions, frame.truth).items()
    ]


def coco_eval(frames: Sequence[Frame], iou_type: IouType = "bbox") -> COCOeval:
    """pycocotools on these frames, from scratch; images in the order of their frame ids."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for image_id, frame in enumerate(sorted(frames, key=lambda f: f.frame_id), start=1):
        masks = [item.mask for item in frame.truth.annotations]
        masks += [item.mask for item in frame.predictions.detections]
        height, width = next((mask.size for mask in masks if mask), (1, 1))
        images.append({"id": image_id, "height": height, "width": width})
        for a in frame.truth.annotations:
            area = a.bbox[2] * a.bbox[3] if a.area is None else a.area
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORIES.index(a.category),
                    "bbox": list(a.bbox),
                    "area": area,
                    "iscrowd": int(a.crowd),
                    **_segmentation(a, iou_type),
                }
            )
        results += [
            {
                "image_id": image_id,
                "category_id": CATEGORIES.index(d.category),
                "score": d.score,
                **(_segmentation(d, iou_type) or {"bbox": list(d.bbox)}),
            }
            for d in frame.predictions.detections
        ]
    categories = [{"id": i, "name": name} for i, name in enumerate(CATEGORIES)]
    return evaluated(
        {"images": images, "annotations": annotations, "categories": categories}, results, iou_type
    )


def _segmentation(item: Annotation | Detection, iou_type: IouType) -> dict[str, object]:
    """What COCO's form has of a mask, if masks are matched."""
    if iou_type == "bbox":
        return {}
    assert item.mask is not None
    return {"segmentation": {"size": list(item.mask.size), "counts": item.mask.counts}}


def evaluated(
    truth: Mapping[str, object], results: list[dict[str, object]], iou_type: IouType = "bbox"
) -> COCOeval:
    """A finished COCOeval."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = dict(truth)
        ground_truth.createIndex()
        if results:
            found = ground_truth.loadRes(results)
        else:
            found = COCO()
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(ground_truth, found, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def twelve(evaluation: COCOeval) -> dict[str, float | None]:
    values = (None if value == -1 else float(value) for value in evaluation.stats)
    return dict(zip(METRICS, values, strict=True))


def confused(frame: Frame) -> Confusions:
    """The frame's classification errors at .5."""
    match = frame_match(frame.predictions, frame.truth)
    return confusions_of(match, [0.5] * len(match.categories))

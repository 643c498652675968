"""A third data set: photos of traffic lights, with the detections of a small detector.

`make bench-loop`'s detector is trained on 300 of the 999 photos. Its operating score is where F1 is
highest on 100 others. The data set is the rest.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.loop_detector import (
    Found,
    Training,
    detect,
    image_sizes,
    targets,
    train_head,
)
from benchmarks.loop_features import feature_maps
from benchmarks.loop_frames import LoopSet
from benchmarks.loop_rounds import operating_score
from benchmarks.retrieval_data import (
    PHOTOS_EMBEDDER,
    ROOT,
    SHARED,
    DataSet,
    Picture,
    data_set_of,
    without_drive,
)
from benchmarks.retrieval_rankings import OPERATING
from services.contracts.events import Detection, FrameAnnotated, PredictionsMade

_TRAINED_ON, _TUNED_ON = 300, 100
_TRAINING = Training(steps=3000)


def traffic_lights() -> DataSet:
    """599 photos of traffic lights, in three categories; no drives."""
    return data_set_of("traffic lights", traffic_light_photos(), {"embedder": PHOTOS_EMBEDDER})


def traffic_light_photos() -> list[Picture]:
    """The frames of `traffic_lights`.

    Scores are shifted in log-odds, which keeps their order, so that the detector's operating score
    is Gazeloop's default.
    """
    folder = SHARED / "traffic_lights_999"
    data = LoopSet.read(folder / "annotations.json", folder / "images", "traffic_lights_999")
    sizes = image_sizes(data)
    maps = feature_maps(data, ROOT / "build" / "closed_loop")
    order = np.random.default_rng(0).permutation(len(data.frames))
    trained, tuned, rest = np.split(order, np.cumsum([_TRAINED_ON, _TUNED_ON]))
    head = train_head(maps, targets(data, maps.grid), np.sort(trained), _TRAINING)

    def found(frame: int) -> Found:
        return detect(head, maps, frame, sizes[frame])

    operating = operating_score(data, tuned, found)
    return [
        _picture(data, frame, sizes[frame], found(frame).detections(data.categories), operating)
        for frame in np.sort(rest).tolist()
    ]


def _picture(
    data: LoopSet,
    frame: int,
    size: tuple[int, int],
    found: Sequence[Detection],
    operating: float,
) -> Picture:
    item = data.frames[frame]
    unit, context = without_drive(item.frame_id)
    return Picture(
        data.path(frame),
        context,
        unit,
        *size,
        FrameAnnotated(
            frame_id=item.frame_id,
            annotations=tuple(part.value for part in item.annotations or ()),
        ),
        PredictionsMade(
            frame_id=item.frame_id,
            detector="detector",
            version="1",
            detections=tuple(
                detection.model_copy(update={"score": _shifted(detection.score, operating)})
                for detection in found
            ),
        ),
    )


def _shifted(score: float, operating: float) -> float:
    """The score, with `operating` at the default operating score."""
    odds = score / (1 - score) * (1 - operating) / operating * OPERATING / (1 - OPERATING)
    return odds / (1 + odds)

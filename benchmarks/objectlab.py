"""ObjectLab's scores of label errors, by cleanlab: JSON on standard input, JSON on standard output.

It has an environment of its own (`.bench`), so `benchmarks.label_errors` runs it as a process.
"""

import sys
from typing import Any

import numpy as np
import orjson
from cleanlab.object_detection import rank

_Frame = dict[str, Any]


def _corners(boxes: Any) -> Any:
    x, y, width, height = np.array(boxes, np.float64).reshape(-1, 4).T
    return np.column_stack([x, y, x + width, y + height])


def _predictions(frame: _Frame, categories: int) -> Any:
    """An array of (n, 5) corners and scores per category, as MMDetection has them."""
    rows = np.column_stack([_corners(frame["boxes"]), frame["scores"]])
    of = np.array(frame["categories"], np.int64)
    found = np.empty(categories, object)
    for category in range(categories):
        found[category] = rows[of == category]
    return found


def _in_order(frame: _Frame, scores: Any, categories: int) -> list[float]:
    """Scores of detections in the detector's order: cleanlab returns them by category."""
    of = np.array(frame["categories"], np.int64)
    order = np.concatenate([np.flatnonzero(of == category) for category in range(categories)])
    found = np.zeros(len(of))
    found[order] = _suspicion(scores)
    return list(found.tolist())


def _suspicion(scores: Any) -> Any:
    """Scores of cleanlab are of quality; NaN where it has none."""
    return 1 - np.nan_to_num(np.asarray(scores, np.float64), nan=1.0)


def _scored(frames: list[_Frame], categories: int, threshold: float | None) -> _Frame:
    """Suspicions by kind, of each frame's detections (missing) or annotations."""
    labels = [
        {"bboxes": _corners(f["annotated"]), "labels": np.array(f["annotated_as"], np.int64)}
        for f in frames
    ]
    both = {"labels": labels, "predictions": [_predictions(f, categories) for f in frames]}
    high = {} if threshold is None else {"high_probability_threshold": threshold}
    low = {} if threshold is None else {"low_probability_threshold": threshold}
    missing = rank.compute_overlooked_box_scores(**both, **high)
    category = rank.compute_swap_box_scores(**both, **high)
    placement = rank.compute_badloc_box_scores(**both, **low)
    return {
        "missing": [_in_order(f, s, categories) for f, s in zip(frames, missing, strict=True)],
        "category": [_suspicion(scores).tolist() for scores in category],
        "placement": [_suspicion(scores).tolist() for scores in placement],
    }


def main() -> None:
    """Score all frames, once per threshold."""
    request = orjson.loads(sys.stdin.buffer.read())
    found = [_scored(request["frames"], request["categories"], t) for t in request["thresholds"]]
    sys.stdout.buffer.write(orjson.dumps(found))


if __name__ == "__main__":
    main()

"""What a ranking is worth: mAP of any frames, and shares with their intervals."""

from argparse import ArgumentParser
from collections.abc import Sequence

import numpy as np

from benchmarks.retrieval_data import THRESHOLDS, DataSet
from services.domain.arrays import BoolArray, FloatArray
from services.domain.detection.coco import RECALLS
from services.domain.statistics.significance import student_975


def mean_ap(data: DataSet, frames: BoolArray, gone: BoolArray | None = None) -> float:
    """COCO's mAP over the frames, without the detections that are gone."""
    keep = frames[data.frame]
    if gone is not None:
        keep &= ~gone
    parts = []
    for category in range(data.truths.shape[1]):
        truths = int(data.truths[frames, category].sum())
        if truths:
            parts.append(_average_precision(data, keep & (data.category == category), truths))
    return float(np.mean(parts)) if parts else float("nan")


def _average_precision(data: DataSet, keep: BoolArray, truths: int) -> float:
    rows = np.flatnonzero(keep)
    # Frames are numbered in COCO's order, so equal scores stay in it.
    rows = rows[np.argsort(-data.scores[rows], kind="stable")]
    if not len(rows):
        return 0.0
    found = data.matched[rows].cumsum(axis=0)
    precision = found / np.arange(1, len(rows) + 1)[:, None]
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    total = 0.0
    for threshold in range(THRESHOLDS):
        place = np.searchsorted(found[:, threshold] / truths, RECALLS, side="left")
        total += float(precision[place[place < len(rows)], threshold].sum())
    return total / THRESHOLDS / len(RECALLS)


def options(purpose: str | None) -> ArgumentParser:
    """A benchmark's options: `--seeds`, and what it adds.

    Parameters
    ----------
    purpose : its module's docstring, whose first line says what it is for
    """
    parser = ArgumentParser(description=purpose.splitlines()[0] if purpose else None)
    parser.add_argument("--seeds", type=_range, default="0:20", help="first, one past the last")
    return parser


def _range(text: str) -> range:
    return range(*(int(part) for part in text.split(":")))


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds, and half of its 95% interval (Student's t)."""
    known = np.array(values, np.float64)
    known = known[~np.isnan(known)]
    if len(known) < 2:  # noqa: PLR2004  # a deviation needs two
        return float(known.mean()) if len(known) else float("nan"), float("nan")
    return float(known.mean()), float(
        student_975(len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    )


def figure(values: Sequence[float], decimals: int) -> str:
    """The mean over seeds with its 95% interval, as tables show it."""
    mean, half = mean_and_interval(values)
    if np.isnan(mean):
        return "none"
    return f"{mean:.{decimals}f} ± {half:.{decimals}f}"


def of_frames(values: FloatArray, data: DataSet) -> FloatArray:
    """(F,), each frame's largest value."""
    most = np.full(len(data.spots), -np.inf)
    np.maximum.at(most, data.frame, values)
    return most

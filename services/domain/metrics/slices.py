"""Slices: the frames with one tag, each compared with all other frames.

A slice is worse if its mAP is below that of the other frames by a difference that is significant at
5% after Holm's correction over all slices (`map_difference`: the difference over its standard
error, over the categories that both have). Slices of few frames are not compared, and at most
MOST_SLICES are, those with the most frames, which bounds the number of results.

Detections on one frame are correlated. So the intervals of precision and recall are Wilson's for
the number of independent ones with the same variance (the design effect: Kish, Survey Sampling,
1965).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.contracts.identity import FrameId
from services.domain.detection.coco import BoolArray, FloatArray
from services.domain.statistics.map_difference import map_difference
from services.domain.statistics.resampling import Interval, Sample, interval
from services.domain.statistics.significance import holm_rejected, wilson_interval

Tag = tuple[str, str]
"""A key and its value, such as weather and rain."""
MOST_SLICES: Final = 200
FEWEST_FRAMES: Final = 30
LEVEL: Final = 0.05
_RIGHT = np.uint16(1)


class TaggedFrames:
    """The frames of each tag; a frame may get other tags.

    Attributes
    ----------
    frames : by tag
    """

    def __init__(self) -> None:
        self.frames: defaultdict[Tag, set[FrameId]] = defaultdict(set)
        self._tags: dict[FrameId, Sequence[Tag]] = {}

    def put(self, frame_id: FrameId, tags: Sequence[Tag]) -> None:
        """Give a frame these tags and no others."""
        former = self._tags.get(frame_id, ())
        if tuple(former) == tuple(tags):
            return
        for tag in former:
            self.frames[tag].discard(frame_id)
        for tag in tags:
            self.frames[tag].add(frame_id)
        self._tags[frame_id] = tags


@dataclass(frozen=True)
class Slice:
    """The frames with one tag.

    Attributes
    ----------
    frames : their number, of those with a match
    map, precision, recall : None where they are undefined
    difference : mAP minus that of the other frames
    p_value : of no difference, before the correction
    worse : whether the difference is below 0, and significant after the correction
    """

    tag: Tag
    frames: int
    map: Interval | None
    precision: Interval | None
    recall: Interval | None
    difference: float
    p_value: float
    worse: bool


def ranked_slices(
    samples: Sequence[Sample], members: Mapping[Tag, BoolArray], operating_score: float
) -> list[Slice]:
    """Compare each slice with all other frames: worse ones first, by their difference.

    Parameters
    ----------
    samples : one per category
    members : (F,) bool by frame number, the frames of each slice
    operating_score : from which precision and recall count detections
    """
    if not members:
        return []
    seen = np.zeros(next(iter(members.values())).size, np.bool_)
    for sample in samples:
        seen[sample.match_frame] = True
    sizes = {tag: int((own & seen).sum()) for tag, own in members.items()}
    total = int(seen.sum())
    large = [tag for tag, n in sizes.items() if FEWEST_FRAMES <= n <= total - FEWEST_FRAMES]
    compared = sorted(large, key=lambda tag: (-sizes[tag], tag))[:MOST_SLICES]
    differences = [map_difference(samples, members[tag]) for tag in compared]
    rejected = holm_rejected([p for _, p in differences], LEVEL)
    slices = [
        Slice(
            tag,
            sizes[tag],
            interval([sample.on(members[tag]) for sample in samples], seen.size),
            *_shares([sample.on(members[tag]) for sample in samples], seen.size, operating_score),
            difference,
            p_value,
            worse=significant and difference < 0,
        )
        for tag, (difference, p_value), significant in zip(
            compared, differences, rejected, strict=True
        )
    ]
    return sorted(slices, key=lambda part: (not part.worse, part.difference, part.tag))


def _shares(
    samples: Sequence[Sample], frames: int, operating_score: float
) -> tuple[Interval | None, Interval | None]:
    """Precision and recall from the operating score on, at IoU .5."""
    right, shown, truths = np.zeros(frames), np.zeros(frames), np.zeros(frames)
    for sample in samples:
        # Scores are kept as float32: the operating score is rounded alike.
        keep = (sample.score >= np.float32(operating_score)) & (sample.counted & _RIGHT > 0)
        np.add.at(shown, sample.frame[keep], 1)
        np.add.at(right, sample.frame[keep & (sample.positive & _RIGHT > 0)], 1)
        np.add.at(truths, sample.match_frame, sample.truths)
    return _share(right, shown), _share(right, truths)


def _share(parts: FloatArray, wholes: FloatArray) -> Interval | None:
    """The share of sums over frames, with its 95% interval.

    Parameters
    ----------
    parts, wholes : (F,) of each frame
    """
    whole = wholes.sum()
    if not whole:
        return None
    share = float(parts.sum() / whole)
    independent = share * (1 - share) / whole
    # The variance of a ratio of sums over frames, of first order.
    variance = float(np.square(parts - share * wholes).sum()) / whole**2
    effective = whole / max(1.0, variance / independent) if independent else whole
    return Interval(share, *wilson_interval(share, effective))

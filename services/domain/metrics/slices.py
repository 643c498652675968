"""Slices: the frames with one tag, or with two, each compared with all other frames.

A slice is worse if its mAP is below that of the other frames by a difference that is significant at
5% after Holm's correction over all slices and pairs (`map_difference`: the difference over its
standard error, over the categories that both have). A pair of tags must have a lower recall or
precision than either of its tags, see `slice_pairs`. Slices of few frames are not compared, and at
most MAX_SLICES are, those with the most frames, and MAX_PAIRS pairs are returned, which bounds
the number of results.

Detections on one frame are correlated. So the intervals of precision and recall are Wilson's for
the number of independent ones with the same variance (the design effect: Kish, Survey Sampling,
1965).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from services.contracts.identity import FrameId
from services.domain.arrays import BoolArray, FloatArray
from services.domain.metrics.operating_counts import operating_counts
from services.domain.metrics.slice_pairs import Ratio, Tag, p_values_of_pairs
from services.domain.statistics.clusters import share_of_sums
from services.domain.statistics.map_difference import map_difference
from services.domain.statistics.resampling import Interval, Sample, interval, matched_frames
from services.domain.statistics.significance import holm_rejected

MAX_SLICES: Final = 200
MAX_PAIRS: Final = 20
"""Those of the smallest p-values."""
MIN_FRAMES: Final = 30
LEVEL: Final = 0.05


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
    """The frames with one tag, or with two.

    Attributes
    ----------
    and_tag : the second tag of a pair
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
    and_tag: Tag | None = None


def ranked_slices(
    samples: Sequence[Sample], members: Mapping[Tag, BoolArray], operating: Sequence[float]
) -> list[Slice]:
    """Compare each slice with all other frames.

    Worse ones come first, by their difference; the others by their p-value, those below 0 first.

    Parameters
    ----------
    samples : one per category
    members : (F,) bool by frame number, the frames of each slice
    operating : from which score of each sample on precision and recall count detections
    """
    if not members:
        return []
    counts = _FrameCounts.of(samples, next(iter(members.values())).size, operating)
    sizes = {tag: int((frames & counts.seen).sum()) for tag, frames in members.items()}
    total = int(counts.seen.sum())
    large = [tag for tag, n in sizes.items() if MIN_FRAMES <= n <= total - MIN_FRAMES]
    compared = sorted(large, key=lambda tag: (-sizes[tag], tag))[:MAX_SLICES]
    tagged = {tag: members[tag] & counts.seen for tag in compared}
    differences = {tag: map_difference(samples, frames) for tag, frames in tagged.items()}
    measures = [Ratio(counts.right, counts.shown), Ratio(counts.right, counts.truths)]
    pairs = p_values_of_pairs(tagged, measures, MIN_FRAMES)
    rejected = holm_rejected([*(p for _, p in differences.values()), *pairs.values()], LEVEL)
    significant = {name for name, yes in zip([*tagged, *pairs], rejected, strict=True) if yes}
    slices = [
        _slice(
            samples, counts, frames, (tag, None), differences[tag], significant=tag in significant
        )
        for tag, frames in tagged.items()
    ]
    for pair in sorted(pairs, key=lambda pair: (pairs[pair], pair))[:MAX_PAIRS]:
        both = tagged[pair[0]] & tagged[pair[1]]
        difference = map_difference(samples, both)[0], pairs[pair]
        slices.append(
            _slice(samples, counts, both, pair, difference, significant=pair in significant)
        )
    return sorted(slices, key=_rank)


def _rank(part: Slice) -> tuple[object, ...]:
    names = (part.tag, part.and_tag or ("", ""))
    if part.worse:
        return (False, part.difference, *names)
    return (True, part.difference >= 0, part.p_value, *names)


def _slice(
    samples: Sequence[Sample],
    counts: "_FrameCounts",
    frames: BoolArray,
    tags: tuple[Tag, Tag | None],
    difference: tuple[float, float],
    *,
    significant: bool,
) -> Slice:
    """The figures of the frames, (F,) bool, with one or two tags."""
    less, p_value = difference
    return Slice(
        tag=tags[0],
        frames=int(frames.sum()),
        map=interval([sample.on(frames) for sample in samples], frames.size),
        precision=share_of_sums(counts.right[frames], counts.shown[frames]),
        recall=share_of_sums(counts.right[frames], counts.truths[frames]),
        difference=less,
        p_value=p_value,
        worse=significant and less < 0,
        and_tag=tags[1],
    )


@dataclass(frozen=True)
class _FrameCounts:
    """Counts of each frame, from the operating score on, at IoU .5.

    Attributes
    ----------
    seen : (F,) bool, whether it has a match
    right, shown, truths : (F,)
    """

    seen: BoolArray
    right: FloatArray
    shown: FloatArray
    truths: FloatArray

    @classmethod
    def of(cls, samples: Sequence[Sample], frames: int, operating: Sequence[float]) -> Self:
        right, shown, truths = operating_counts(samples, operating, frames).T.copy()
        return cls(matched_frames(samples, frames), right, shown, truths)

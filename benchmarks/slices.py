"""Whether the slices that are ranked worst are the ones that are: `python -m benchmarks.slices`.

Frames are drawn from the synthetic survey and given a value of each of ten keys. Of the 100 tags
and their pairs, ten slices are planted: on their frames, the detector loses a share of what it
found. Counted are the planted ones among the ten ranked worst, and those called worse that are not
planted.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from benchmarks.retrieval_data import DETECTOR, Picture, matches_of, survey_pictures
from benchmarks.retrieval_measures import figure, options
from services.contracts.events import PredictionsMade
from services.contracts.identity import FrameId
from services.contracts.matches import CategoryMatched
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.slice_pairs import Tag
from services.domain.metrics.slices import Slice
from services.domain.metrics.subsets import Subset
from services.runtime.settings import Settings

KEYS, VALUES = 10, 10
LOST = 0.5
"""The share of its detections that a frame of a planted slice loses."""

Planted = frozenset[Tag]
"""One tag, or two."""


@dataclass(frozen=True)
class Outcome:
    """Of the ten slices ranked worst, and of those called worse."""

    planted: int
    worse: int
    false: int


def planted_slices(rng: np.random.Generator, singles: int, pairs: int) -> list[Planted]:
    """Tags and pairs of tags, no tag in two of them."""
    keys = [f"key{k}" for k in range(KEYS)]
    tags = [(key, f"value{v}") for key in keys for v in range(VALUES)]
    rng.shuffle(tags)
    found: list[Planted] = [frozenset([tags.pop()]) for _ in range(singles)]
    while len(found) < singles + pairs:
        one, other = tags.pop(), tags.pop()
        if one[0] != other[0]:
            found.append(frozenset([one, other]))
    return found


def ranked(
    pictures: Sequence[Picture], rng: np.random.Generator, frames: int, planted: Sequence[Planted]
) -> list[Slice]:
    """The slices of frames drawn from these pictures, whose planted ones lose detections."""
    tagged: defaultdict[Tag, set[FrameId]] = defaultdict(set)
    matches: list[CategoryMatched] = []
    for number in range(frames):
        picture = pictures[int(rng.integers(len(pictures)))]
        tags = {(f"key{k}", f"value{v}") for k, v in enumerate(rng.integers(0, VALUES, KEYS))}
        lost = LOST if any(slice_ <= tags for slice_ in planted) else 0.0
        frame_id = FrameId(f"{number:06d}")
        for tag in tags:
            tagged[tag].add(frame_id)
        matches += _matched(picture, frame_id, lost, rng)
    state = MatchState(Settings().operating_scores)
    state.add(matches)
    return state.slices(DETECTOR, Subset.ALL, tagged)


def _matched(
    picture: Picture, frame_id: FrameId, lost: float, rng: np.random.Generator
) -> list[CategoryMatched]:
    predictions = picture.predictions
    kept = tuple(item for item in predictions.detections if rng.random() >= lost)
    shown: PredictionsMade = predictions.model_copy(update={"detections": kept})
    return matches_of(shown, picture.ground_truth, frame_id)


def outcome(slices: Sequence[Slice], planted: Sequence[Planted]) -> Outcome:
    """How many of the planted slices were found."""
    names = [frozenset(tag for tag in (s.tag, s.and_tag) if tag is not None) for s in slices]
    worse = [name for name, part in zip(names, slices, strict=True) if part.worse]
    return Outcome(
        planted=sum(name in planted for name in names[:10]),
        worse=len(worse),
        false=sum(name not in planted for name in worse),
    )


def main() -> None:
    """Print means over seeds, and the least."""
    parser = options(__doc__)
    parser.add_argument("--frames", type=int, default=6000)
    parser.add_argument("--pairs", type=int, default=5, help="of the ten planted, pairs of tags")
    args = parser.parse_args()
    pictures = survey_pictures()
    found = []
    for seed in args.seeds:
        rng = np.random.default_rng(seed)
        planted = planted_slices(rng, 10 - args.pairs, args.pairs)
        found.append(outcome(ranked(pictures, rng, args.frames, planted), planted))
    Console().print(
        f"{args.frames} frames, {args.pairs} of the ten planted are pairs of tags:"
        f" {figure([float(one.planted) for one in found], 2)} of the ten ranked worst are planted"
        f" (least {min(one.planted for one in found)}); {figure([one.worse for one in found], 1)}"
        f" are called worse, {sum(one.false for one in found)} of them in all not planted"
    )


if __name__ == "__main__":
    main()

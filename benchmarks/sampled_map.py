"""How good estimates from drawn frames are: `python -m benchmarks.sampled_map`.

Replays campaigns on data sets that are annotated in full: a share of the frames is chosen (those
with the most false positives, up to noise, as shortlists do), others are drawn. Prints how often
95% intervals cover the figure of all frames, and how many times more frames a uniform sample of all
frames would need: for the same mean width of the interval, and for the same squared error.

A uniform sample's width falls with the root of 1 / drawn - 1 / frames, and no sample can have more
frames than there are. `large survey` has ten times the survey's frames, drawn from them with
replacement, so that its size does not bound the factor.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from benchmarks.retrieval_data import Picture, matches_of, street_photos, survey_pictures
from benchmarks.retrieval_trained import traffic_light_photos
from services.contracts.identity import FrameId
from services.domain.arrays import FloatArray
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.operating_counts import operating_counts
from services.domain.metrics.sampled_figures import (
    MIN_FRAMES,
    AnnotatedFrames,
    Estimated,
    ShownTotals,
    represented_map,
    sampled_figures,
    size_of,
)
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Sample
from services.domain.statistics.sampling import inclusion_probabilities

_OPERATING_SCORE: Final = 0.5
_CHOSEN: Final = 0.15
_LARGE: Final = 6000
_NAMES: Final = ("mAP", "precision", "recall")


@dataclass(frozen=True)
class Haystack:
    """A data set that is annotated in full; samples are by category, arrays by frame."""

    samples: Sequence[Sample]
    sizes: FloatArray
    wrong: FloatArray

    @classmethod
    def of(cls, pictures: Sequence[Picture]) -> "Haystack":
        """The pictures that have detections or objects; the same one may come repeatedly."""
        state = MatchState(OperatingScores(_OPERATING_SCORE))
        for number, picture in enumerate(pictures):
            name = FrameId(f"{number:06d}")
            state.add(matches_of(picture.predictions, picture.ground_truth, name))
        snapshot = state.snapshot()
        samples = [sample.of(Subset.ALL.word) for _, sample in sorted(snapshot.samples.items())]
        scores: list[list[float]] = [[] for _ in range(snapshot.vehicle.size)]
        for sample in samples:
            for frame, score in zip(sample.frame, sample.score, strict=True):
                scores[frame].append(float(score))
        counts = operating_counts(samples, [_OPERATING_SCORE] * len(samples), len(scores))
        sizes = np.array([size_of([s for s in own if s >= _OPERATING_SCORE]) for own in scores])
        return cls(samples, sizes, counts[:, 1] - counts[:, 0])

    @property
    def operating(self) -> list[float]:
        """The operating score of each category."""
        return [_OPERATING_SCORE] * len(self.samples)

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return self.sizes.size

    def truth(self, categories: Sequence[int]) -> tuple[float, ...]:
        """MAP over these categories, precision and recall of all frames."""
        right, shown, truths = self._counts
        return float(np.mean(self._aps[categories])), right / shown, right / truths

    @property
    def shown(self) -> ShownTotals:
        """What all frames show."""
        scores = np.concatenate([sample.score for sample in self.samples]).astype(np.float64)
        scores = scores[scores >= _OPERATING_SCORE]
        return ShownTotals(len(scores), float(scores.sum()))

    @cached_property
    def _aps(self) -> FloatArray:
        every = np.ones(self.frames)
        return np.array([represented_map([sample], every) for sample in self.samples])

    @cached_property
    def _counts(self) -> FloatArray:
        counts = operating_counts(self.samples, self.operating, self.frames)
        totals: FloatArray = counts.sum(axis=0)
        return totals


@dataclass(frozen=True)
class Replay:
    """Of mAP, precision and recall, over draws; NaN without intervals.

    Attributes
    ----------
    covered : (3,), the share of intervals that hold the figure of all frames
    errors : (3,), mean squared errors
    widths : (3,), mean widths of the intervals
    categories : the mean number in mAP: figures over other categories cannot be compared
    """

    covered: FloatArray
    errors: FloatArray
    widths: FloatArray
    categories: float


def replay(
    haystack: Haystack,
    probability: FloatArray,
    draws: int,
    rng: np.random.Generator,
    shown: ShownTotals | None = None,
) -> Replay:
    """Draw frames with these probabilities (F,), and estimate, again and again.

    Parameters
    ----------
    shown : on all frames, if estimates may use it
    """
    rows, categories = [], []
    for _ in range(draws):
        drawn = rng.random(haystack.frames) < probability
        known = np.where(drawn, probability, 0.0)
        found = sampled_figures(
            AnnotatedFrames(haystack.samples, haystack.operating, known, haystack.frames, shown)
        )
        if found is None:
            continue
        kept = [
            place
            for place, sample in enumerate(haystack.samples)
            if np.count_nonzero(sample.on(drawn).truths) >= MIN_FRAMES
        ]
        categories.append(len(kept))
        parts = (found.map, found.precision, found.recall)
        rows.append(
            [_outcome(part, true) for part, true in zip(parts, haystack.truth(kept), strict=True)]
        )
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # of none at all
        covered, errors, widths = np.nanmean(rows, axis=0).T
    return Replay(covered, errors, widths, float(np.mean(categories)))


def _outcome(part: Estimated | None, true: float) -> tuple[float, float, float]:
    """Whether the interval covers the true figure, the squared error, and the width."""
    if part is None:
        return np.nan, np.nan, np.nan
    error = (part.value - true) ** 2
    if part.bounds is None:
        return np.nan, error, np.nan
    low, high = part.bounds
    return float(low <= true <= high), error, high - low


def _campaign(haystack: Haystack, frames: int, rng: np.random.Generator) -> FloatArray:
    """Probabilities of a campaign: 1 of the chosen frames, and of the others by size."""
    order = np.argsort(-(haystack.wrong + rng.normal(0, 1, haystack.frames)), kind="stable")
    chosen, others = np.split(order, [int(_CHOSEN * haystack.frames)])
    probability = np.ones(haystack.frames)
    probability[others] = inclusion_probabilities(haystack.sizes[others], frames)
    assert chosen.size
    return probability


def uniform_frames(ratio: FloatArray, drawn: int, frames: int) -> FloatArray:
    """How many frames a uniform sample needs for a variance that is this share of its own.

    Its variance is proportional to 1 / drawn - 1 / frames.
    """
    needed: FloatArray = 1 / (ratio * (1 / drawn - 1 / frames) + 1 / frames)
    return needed


def _large(pictures: Sequence[Picture]) -> Sequence[Picture]:
    places = np.random.default_rng(0).integers(len(pictures), size=_LARGE)
    return [pictures[place] for place in places.tolist()]


DATA_SETS: Final[Mapping[str, Callable[[], Sequence[Picture]]]] = {
    "survey": survey_pictures,
    "large survey": lambda: _large(survey_pictures()),
    "street photos": street_photos,
    "traffic lights": traffic_light_photos,
}


def print_replays(name: str, haystack: Haystack, frames: int, draws: int) -> None:
    """A line for mAP, precision and recall."""
    rng = np.random.default_rng(7)
    equal = np.full(haystack.frames, frames / haystack.frames)
    uniform = replay(haystack, equal, draws, rng)
    campaign = replay(haystack, _campaign(haystack, frames, rng), draws, rng, haystack.shown)
    by_width = uniform_frames((campaign.widths / uniform.widths) ** 2, frames, haystack.frames)
    by_error = uniform_frames(campaign.errors / uniform.errors, frames, haystack.frames)
    chosen = int(_CHOSEN * haystack.frames)
    sys.stdout.write(
        f"{name}: {campaign.categories:.1f} categories in mAP (uniform {uniform.categories:.1f})\n"
    )
    for place, figure in enumerate(_NAMES):
        sys.stdout.write(
            f"{name}: {frames} of {haystack.frames} drawn  {figure:<9}"
            f" covered {campaign.covered[place]:.1%} (uniform {uniform.covered[place]:.1%}),"
            f" width {campaign.widths[place]:.3f} (uniform {uniform.widths[place]:.3f}):"
            f" {by_width[place] / frames:.1f} x fewer labels for the same width,"
            f" {by_width[place] / (frames + chosen):.1f} x with the {chosen} chosen frames,"
            f" {by_error[place] / frames:.1f} x for the same squared error\n"
        )
    sys.stdout.flush()


def main() -> None:
    """Replay on each data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--frames", type=int, nargs="*", default=[60, 120])
    parser.add_argument("--data", nargs="*", choices=DATA_SETS, default=list(DATA_SETS))
    options = parser.parse_args()
    for name in options.data:
        haystack = Haystack.of(DATA_SETS[name]())
        for frames in options.frames:
            print_replays(name, haystack, frames, options.draws)


if __name__ == "__main__":
    main()

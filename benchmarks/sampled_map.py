"""How good estimates from drawn frames are: `python -m benchmarks.sampled_map`.

Replays campaigns on data sets that are annotated in full: a share of the frames is chosen (those
with the most false positives, up to noise, as shortlists do), others are drawn. Prints how often
95% intervals cover the figure of all frames, and the factor of labels saved: how many times more
frames a uniform sample of all frames would need for the same squared error.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.retrieval_data import SHARED
from services.domain.detection.coco import FloatArray
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.sampled_figures import (
    FEWEST_FRAMES,
    AnnotatedFrames,
    counts_of,
    mean_ap,
    sampled_figures,
    size_of,
)
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Sample
from services.domain.statistics.sampling import inclusion_probabilities
from services.evaluator.files.versions import FileVersion
from services.formats.items import Detector, FrameItem
from services.formats.readers.coco import read_coco
from services.survey.generate import generate_survey

_OPERATING_SCORE = 0.5
_NAMES = ("mAP", "precision", "recall")


@dataclass(frozen=True)
class Haystack:
    """A data set that is annotated in full; samples are by category, arrays by frame."""

    samples: Sequence[Sample]
    sizes: FloatArray
    wrong: FloatArray

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
        every = np.ones(self.frames)
        kept = [self.samples[place] for place in categories]
        right, shown, truths = counts_of(self.samples, self.operating, self.frames).sum(axis=0)
        return mean_ap(kept, every), right / shown, right / truths


def _haystack(ground_truth: Path, predictions: Path) -> Haystack:
    version = FileVersion("d@1", "bbox", accept_partial=True)
    detector = Detector("d", "1", "bbox")
    for item in read_coco(
        ground_truth, images=None, predictions=predictions, detector=detector
    ).items:
        if isinstance(item, FrameItem):
            version.add(item)
    state = MatchState(OperatingScores(_OPERATING_SCORE))
    state.add(version.on(version.frames).matches)
    snapshot = state.snapshot()
    samples = [sample.of(Subset.ALL.word) for _, sample in sorted(snapshot.samples.items())]
    scores: list[list[float]] = [[] for _ in range(snapshot.vehicle.size)]
    for sample in samples:
        for frame, score in zip(sample.frame, sample.score, strict=True):
            scores[frame].append(float(score))
    counts = counts_of(samples, [_OPERATING_SCORE] * len(samples), len(scores))
    sizes = np.array(
        [size_of([s for s in frame_scores if s >= _OPERATING_SCORE]) for frame_scores in scores]
    )
    return Haystack(samples, sizes, counts[:, 1] - counts[:, 0])


def replay(
    haystack: Haystack, probability: FloatArray, draws: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """(3,) shares of intervals that cover, and (3,) mean squared errors; NaN without intervals."""
    covered, errors = [], []
    for _ in range(draws):
        drawn = rng.random(haystack.frames) < probability
        known = np.where(drawn, probability, 0.0)
        found = sampled_figures(
            AnnotatedFrames(haystack.samples, haystack.operating, known, haystack.frames)
        )
        if found is None:
            continue
        kept = [
            place
            for place, sample in enumerate(haystack.samples)
            if np.count_nonzero(sample.on(drawn).truths) >= FEWEST_FRAMES
        ]
        pairs = list(
            zip((found.map, found.precision, found.recall), haystack.truth(kept), strict=True)
        )
        covered.append(
            [
                np.nan if part is None or part.bounds is None else _holds(part.bounds, true)
                for part, true in pairs
            ]
        )
        errors.append(
            [np.nan if part is None else (part.value - true) ** 2 for part, true in pairs]
        )
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # of none at all
        return np.nanmean(covered, axis=0), np.nanmean(errors, axis=0)


def _holds(bounds: tuple[float, float], true: float) -> bool:
    return bounds[0] <= true <= bounds[1]


def _campaign(haystack: Haystack, frames: int, rng: np.random.Generator) -> FloatArray:
    """Probabilities of a campaign: 1 of the chosen 15%, and of the others by size."""
    order = np.argsort(-(haystack.wrong + rng.normal(0, 1, haystack.frames)), kind="stable")
    chosen, others = np.split(order, [int(0.15 * haystack.frames)])
    probability = np.ones(haystack.frames)
    probability[others] = inclusion_probabilities(haystack.sizes[others], frames)
    assert chosen.size
    return probability


def main() -> None:
    """Replay on the survey and on the street photos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--frames", type=int, nargs="*", default=[60, 120])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        survey = generate_survey(Path(folder), drives=20, frames_per_drive=30)
        photos = SHARED / "trapedesveh"
        haystacks = {
            "survey": _haystack(survey.ground_truth_json, survey.predictions_json),
            "street photos": _haystack(
                photos / "derived_coco4.json", photos / "fastestdet_results_coco4.json"
            ),
        }
    for name, haystack in haystacks.items():
        for frames in options.frames:
            rng = np.random.default_rng(7)
            equal = np.full(haystack.frames, frames / haystack.frames)
            uniform_cover, uniform = replay(haystack, equal, options.draws, rng)
            cover, errors = replay(haystack, _campaign(haystack, frames, rng), options.draws, rng)
            for place, figure in enumerate(_NAMES):
                covering = f"covered {cover[place]:.1%} (uniform {uniform_cover[place]:.1%})"
                saved = f"labels saved {uniform[place] / errors[place]:.1f} x"
                drawn = f"{name}: {frames} of {haystack.frames} drawn"
                sys.stdout.write(f"{drawn}  {figure:<9} {covering}  {saved}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()

"""How good estimates of precision without ground truth are: a replay.

`python -m benchmarks.estimated_precision`. In each draw, some drives are the reference, and
precision on the other frames and on their slices is estimated and compared with what their ground
truth says. On the shifted survey, no drive in fog, at dusk, or of a vehicle with another camera is
ever annotated; slices of these should get no estimate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.estimated_data import StreamSet, photos, shifted_survey, survey
from benchmarks.retrieval_measures import options
from services.domain.arrays import BoolArray
from services.domain.metrics.estimated_precision import (
    EstimatedSlice,
    SampledDetections,
    SampledFrames,
    estimate_stream,
)
from services.domain.mining.error_probability import ClusteredDetections
from services.runtime.settings import Settings

ENOUGH = 500
"""Detections of the slices that goals are for."""
_SETTINGS = Settings()
SETS: tuple[Callable[[], StreamSet], ...] = (photos, survey, shifted_survey)


class Outcome(NamedTuple):
    """An estimate, and the truth."""

    slice: EstimatedSlice
    true: float


def replay(stream: StreamSet, share: float, seed: int) -> list[Outcome]:
    """The estimates with a share of the units as reference."""
    data = stream.data
    reference = _reference(stream, share, seed)
    frames = SampledFrames(stream.vectors, data.units, reference, reference, stream.tags)
    rows = np.flatnonzero(data.scores >= _SETTINGS.region_score)
    detections = ClusteredDetections(
        data.features[rows],
        data.vectors["crop"][rows],
        data.category[rows],
        data.units[data.frame[rows]],
    )
    shown, wrong = data.scores[rows] >= _SETTINGS.operating_score, data.wrong[rows]
    of = data.frame[rows]
    found = estimate_stream(frames, SampledDetections(detections, of, shown, wrong))
    if found is None:
        return []
    asked = shown & ~reference[of]
    outcomes = []
    for part in found.slices:
        own = np.array([part.tag is None or part.tag in tags for tags in stream.tags])
        outcomes.append(Outcome(part, float(1 - wrong[asked & own[of]].mean())))
    return outcomes


def _reference(stream: StreamSet, share: float, seed: int) -> BoolArray:
    allowed = np.unique(stream.data.units[~stream.never])
    drawn = np.random.default_rng(seed).permutation(allowed)
    return np.asarray(np.isin(stream.data.units, drawn[: round(share * len(allowed))]))


@dataclass(frozen=True)
class Summary:
    """Of many slices.

    Attributes
    ----------
    estimated, with_interval : the share that has an estimate, or an interval
    error, error_95, bias : of the estimates; NaN without any
    covered : the share of intervals that hold the truth; NaN without any
    width : half an interval's, on average
    """

    count: int
    estimated: float
    error: float
    error_95: float
    bias: float
    with_interval: float
    covered: float
    width: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "Summary":
        """The summary of these."""
        errors = np.array(
            [one.slice.precision - one.true for one in outcomes if one.slice.precision is not None]
        )
        known = [
            (one.slice.interval, one.true) for one in outcomes if one.slice.interval is not None
        ]
        covered = [within.low <= true <= within.high for within, true in known]
        widths = [(within.high - within.low) / 2 for within, _ in known]
        return cls(
            len(outcomes),
            len(errors) / len(outcomes),
            float(np.abs(errors).mean()) if errors.size else float("nan"),
            float(np.quantile(np.abs(errors), 0.95)) if errors.size else float("nan"),
            float(errors.mean()) if errors.size else float("nan"),
            len(known) / len(outcomes),
            float(np.mean(covered)) if covered else float("nan"),
            float(np.mean(widths)) if widths else float("nan"),
        )


def print_set(out: Console, stream: StreamSet, share: float, seeds: Sequence[int]) -> None:
    """Print the summary of each slice of a data set, and of all with enough detections."""
    outcomes = [one for seed in seeds for one in replay(stream, share, seed)]
    table = Table(
        title=f"{stream.data.name}: {len(seeds)} draws of {share:.0%} as reference",
        title_justify="left",
    )
    for name in (
        "slice",
        "asked",
        "estimated",
        "|error|",
        "95% of them",
        "bias",
        "interval",
        "covers",
        "+-",
    ):
        table.add_column(name)
    names = sorted({one.slice.name for one in outcomes})
    groups = {name: [one for one in outcomes if one.slice.name == name] for name in names}
    groups[f"{ENOUGH} detections or more"] = [
        one for one in outcomes if one.slice.detections >= ENOUGH
    ]
    groups["every slice"] = outcomes
    for name, members in groups.items():
        if members:
            of = Summary.of(members)
            cells = (of.error, of.error_95, of.bias)
            shares = (f"{of.with_interval:.1%}", f"{of.covered:.1%}", f"{of.width:.3f}")
            asked = (str(of.count), f"{of.estimated:.1%}")
            table.add_row(name, *asked, *(f"{cell:.3f}" for cell in cells), *shares)
    out.print(table)


def main() -> None:
    """Print a table for each data set."""
    parser = options(__doc__)
    parser.add_argument("--share", type=float, default=0.25, help="of drives that are reference")
    parser.add_argument("--set", choices=[load.__name__ for load in SETS], action="append")
    args = parser.parse_args()
    out = Console(width=120)
    for load in SETS:
        if args.set is None or load.__name__ in args.set:
            print_set(out, load(), args.share, args.seeds)


if __name__ == "__main__":
    main()

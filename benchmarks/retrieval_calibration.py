"""Whether evidence should be recalibrated by verdicts, by a replay of what annotators would say.

`python -m benchmarks.retrieval_calibration`. Each seed is a split. A first plan of a tenth of the
haystack is corrected: its frames become examples, and its listed regions are verdicts. A second
model learns from reference and corrections, as the retriever's does. Its evidence on the rest of
the haystack is left as it is, or corrected by what the first plan's evidence said and what came of
it: by a line in log odds (Platt, 1999), or by isotonic regression.

Last, the regions that a plan lists: what evidence predicts of their needles' modes, and what comes
true.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.retrieval_data import DataSet, survey, trapedesveh
from benchmarks.retrieval_measures import figure, options
from benchmarks.retrieval_plans import by_strategy, haystack_of
from benchmarks.retrieval_rankings import LEARNT, Task, tasks
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.mining import logistic
from services.domain.mining.failure_model import Method
from services.domain.shortlists.strategies import worst_frames
from services.domain.statistics.calibration import Calibration, calibration
from services.runtime.settings import Settings

FIRST_BUDGET = 0.10
LISTED_BUDGET = 0.15
ENOUGH = 30
"""Verdicts of a category from which it has a line of its own."""
THRESHOLD = Settings().shortlist_evidence
_SURE = 1e-3
Rule = Callable[[FloatArray, BoolArray, FloatArray], FloatArray]
"""Evidence that was given, what came true, and new evidence; the new evidence corrected."""


@dataclass(frozen=True)
class Forecast:
    """Evidence for one mode of regions of one category, and whether they fail in it."""

    category: int
    evidence: FloatArray
    fails: BoolArray


def as_it_is(_: FloatArray, __: BoolArray, evidence: FloatArray) -> FloatArray:
    """What the model says."""
    return evidence


def platt(scores: FloatArray, fails: BoolArray, evidence: FloatArray) -> FloatArray:
    """A line in log odds; the model's own where all verdicts agree."""
    if len(set(fails.tolist())) < 2:  # noqa: PLR2004  # both kinds
        return evidence
    fitted = logistic.fit(_log_odds(scores), fails.astype(np.int64), 2, ridge=1.0)
    return np.asarray(fitted.probabilities(_log_odds(evidence))[:, 1])


def isotonic(scores: FloatArray, fails: BoolArray, evidence: FloatArray) -> FloatArray:
    """The closest rising steps, by pooling neighbours that fall."""
    order = np.argsort(scores, kind="stable")
    blocks: list[list[float]] = []
    for true in fails[order].tolist():
        blocks.append([float(true), 1.0])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (high, more), (low, less) = blocks[-2], blocks.pop()
            blocks[-1] = [(high * more + low * less) / (more + less), more + less]
    steps = np.repeat([value for value, _ in blocks], [int(count) for _, count in blocks])
    return np.asarray(np.interp(evidence, scores[order], steps))


def _log_odds(evidence: FloatArray) -> FloatArray:
    kept = np.clip(evidence, _SURE, 1 - _SURE)
    return np.asarray(np.log(kept / (1 - kept))[:, None])


def forecasts_of(task: Task, places: IntArray) -> list[Forecast]:
    """What a task's model says of these regions, for each mode that it has learnt."""
    data, model = task.data, LEARNT.model(task)
    rows, features = data.vectors["crop"][places], data.features[places]
    modes = {mode for place in task.needles if (mode := data.modes[place]) is not None}
    return [
        Forecast(
            task.category,
            model.evidence(mode, rows, rows, features),
            np.array([data.modes[place] == mode for place in places], np.bool_),
        )
        for mode in sorted(modes)
        if len(places) and model.method(mode) is Method.LOGISTIC
    ]


def replay(data: DataSet, seed: int) -> tuple[list[Forecast], list[Forecast]]:
    """Verdicts on a first plan, and what the second model says of the rest."""
    haystack = haystack_of(data, seed)
    taken, listed = by_strategy(worst_frames)(data, haystack, seed, FIRST_BUDGET)
    shown = {place for place, _ in listed}
    verdicts, rest = [], []
    for task in tasks(data, haystack, seed):
        judged = np.array([place for place in task.haystack if place in shown], np.int64)
        verdicts += forecasts_of(task, judged)
        corrected = np.flatnonzero((data.category == task.category) & taken[data.frame])
        wiser = replace(task, reference=np.union1d(task.reference, corrected))
        rest += forecasts_of(wiser, task.haystack[~taken[data.frame[task.haystack]]])
    return verdicts, rest


def corrected(
    rule: Rule, verdicts: Sequence[Forecast], rest: Sequence[Forecast], *, by_category: bool
) -> list[Forecast]:
    """The rest's evidence by a rule from all verdicts, or from those of its own category."""
    found = []
    for forecast in rest:
        own = [v for v in verdicts if not by_category or v.category == forecast.category]
        scores, fails = _joined(own)
        enough = len(scores) >= ENOUGH
        evidence = rule(scores, fails, forecast.evidence) if enough else forecast.evidence
        found.append(replace(forecast, evidence=evidence))
    return found


def _joined(forecasts: Sequence[Forecast]) -> tuple[FloatArray, BoolArray]:
    if not forecasts:
        return np.empty(0), np.empty(0, np.bool_)
    return np.concatenate([s.evidence for s in forecasts]), np.concatenate(
        [s.fails for s in forecasts]
    )


WAYS: dict[str, tuple[Rule, bool]] = {
    "as it is": (as_it_is, False),
    "Platt, all categories": (platt, False),
    "Platt, by category": (platt, True),
    "isotonic, all categories": (isotonic, False),
    "isotonic, by category": (isotonic, True),
}


def figures(forecasts: Sequence[Forecast]) -> tuple[float, float, float]:
    """Calibration error; above the threshold, how many and which share fails in the mode."""
    evidence, fails = _joined(forecasts)
    found = calibration(evidence.tolist(), fails.tolist())
    above = evidence >= THRESHOLD
    share = float(fails[above].mean()) if above.any() else float("nan")
    return (found.error if found else float("nan")), float(above.sum()), share


def listed_calibration(data: DataSet, seed: int) -> Calibration | None:
    """The evidence of listed regions for their needles' modes, where it is a probability."""
    haystack = haystack_of(data, seed)
    _, listed = by_strategy(worst_frames)(data, haystack, seed, LISTED_BUDGET)
    models = {task.category: LEARNT.model(task) for task in tasks(data, haystack, seed)}
    evidence: list[float] = []
    fails: list[bool] = []
    for place, mode in listed:
        model = models[int(data.category[place])]
        if mode is not None and model.method(mode) is Method.LOGISTIC:
            row = data.vectors["crop"][[place]]
            evidence += model.evidence(mode, row, row, data.features[[place]]).tolist()
            fails.append(data.modes[place] == mode)
    return calibration(evidence, fails)


def print_listed(out: Console, data: DataSet, seeds: Sequence[int]) -> None:
    """Means over seeds of what `listed_calibration` finds."""
    found = [one for seed in seeds if (one := listed_calibration(data, seed)) is not None]
    table = Table(title=f"{data.name}: listed regions at {LISTED_BUDGET:.0%}", title_justify="left")
    for name in ("regions", "predicted", "came true", "error", "by chance"):
        table.add_column(name)
    columns = ("count", "predicted", "came_true", "error", "by_chance")
    table.add_row(*(figure([float(getattr(one, name)) for one in found], 3) for name in columns))
    out.print(table)


def main() -> None:
    """Print a table for each data set."""
    seeds = options(__doc__).parse_args().seeds
    out = Console(width=120)
    for load in (trapedesveh, survey):
        data = load()
        replays = [replay(data, seed) for seed in seeds]
        verdicts = np.mean([len(_joined(first)[0]) for first, _ in replays])
        table = Table(title=f"{data.name}: {verdicts:.0f} verdicts", title_justify="left")
        for column in ("evidence", "calibration error", f"above {THRESHOLD}", "of them same mode"):
            table.add_column(column)
        for name, (rule, by_category) in WAYS.items():
            every = [
                figures(corrected(rule, first, rest, by_category=by_category))
                for first, rest in replays
            ]
            cells = [figure([one[column] for one in every], 3) for column in range(3)]
            table.add_row(name, *cells)
        out.print(table)
        print_listed(out, data, seeds)


if __name__ == "__main__":
    main()

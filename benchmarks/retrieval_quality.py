"""What shortlists are worth, by ranking and by strategy, over seeds with 95% intervals.

`python -m benchmarks.retrieval_quality` prints the tables of docs/measurements/shortlists.md. The
first run embeds both data sets (three minutes on one core); their vectors are kept in
build/retrieval.

Settings were chosen on seeds 100 to 119 of the street photos (`--seeds 100:120`), the weight of the
cost in `worst-frames` on the survey's too; what is printed by default is seeds 0 to 19. Needles are
false positives at or above the operating score on reference frames: a quarter of the photos, drawn
at random, or of the survey's drives (`--reference-share`). A shortlisted region is of the needle's
*mode* if it is of its category and error type, and for a classification error of its true category
too.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.retrieval_data import DataSet
from benchmarks.retrieval_measures import figure, mean_ap, options
from benchmarks.retrieval_plans import (
    BASELINES,
    COST_SHARES,
    PLANS,
    REFERENCE_SHARE,
    SHARES_FOR_MISSES,
    Plan,
    Split,
    first_frames,
)
from benchmarks.retrieval_rankings import (
    ABLATIONS,
    LEARNT,
    OPERATING,
    Ranking,
    contrast,
    highest_score,
    lowest_score,
    random_draw,
    similarity,
    tasks,
)
from benchmarks.retrieval_reranking import RERANKINGS, MarginalRelevance
from benchmarks.retrieval_sets import DATA_SETS
from services.domain.mining.failure_model import Method
from services.domain.statistics.calibration import calibration

PER_NEEDLE = 10
SURE = 0.65
BUDGETS = (0.05, 0.10, 0.15, 0.20)
RANDOM = "random frames"
RANKINGS: Mapping[str, Ranking] = {
    "random draw": random_draw,
    "nearest, RoIAlign": similarity("roi", centred=False),
    "nearest, RoIAlign, centred": similarity("roi", centred=True),
    "nearest, crop (plain similarity)": similarity("crop", centred=False),
    "nearest, crop, centred": similarity("crop", centred=True),
    "lowest score": lowest_score,
    "highest score": highest_score,
    "contrast": contrast("crop", 0.0),
    "contrast and low score": contrast("crop", 1.0),
    "learnt (the default)": LEARNT,
}


def shares(data: DataSet, ranking: Ranking, split: Split, score: float) -> tuple[float, float]:
    """Yield and same mode of ten frames per needle, among haystack scores from this one on."""
    wrong, alike = [], []
    for task in tasks(data, split.haystack, split.seed):
        surer = data.scores[task.haystack] >= score
        if not surer.any():
            continue
        ranked = ranking(task)[:, surer]
        for needle, row in zip(task.needles, ranked, strict=True):
            order = task.haystack[surer][np.argsort(-row, kind="stable")]
            listed = first_frames(order, data, PER_NEEDLE)
            wrong.append(float(data.wrong[listed].mean()))
            alike.append(float(np.mean([data.modes[p] == data.modes[needle] for p in listed])))
    return float(np.mean(wrong)), float(np.mean(alike))


def print_shares(
    out: Console,
    data: DataSet,
    rankings: Mapping[str, Ranking],
    splits: Sequence[Split],
    title: str,
) -> None:
    """The table of yield and same mode."""
    table = Table(title=f"{title}: {data.name}", title_justify="left")
    for column in ("ranking", "yield", "same mode", f"≥ {SURE}: yield", "same mode"):
        table.add_column(column)
    for name, ranking in rankings.items():
        shown = [shares(data, ranking, split, OPERATING) for split in splits]
        sure = [shares(data, ranking, split, SURE) for split in splits]
        table.add_row(name, *_columns(shown), *_columns(sure))
    out.print(table)


def _columns(rows: Sequence[tuple[float, float]]) -> list[str]:
    return [figure([row[column] for row in rows], 3) for column in (0, 1)]


def calibration_error(data: DataSet, split: Split) -> float:
    """How far learnt evidence is from the share that fails in that mode."""
    forecasts: list[float] = []
    true: list[bool] = []
    for task in tasks(data, split.haystack, split.seed):
        model = LEARNT.model(task)
        modes = {data.modes[place] for place in task.needles}
        for mode in modes:
            if mode is None or model.method(mode) is not Method.LOGISTIC:
                continue
            places = task.haystack
            evidence = model.evidence(
                mode,
                data.vectors["crop"][places],
                data.vectors["crop"][places],
                data.features[places],
            )
            forecasts += evidence.tolist()
            true += [data.modes[place] == mode for place in places]
    found = calibration(forecasts, true)
    return found.error if found else float("nan")


def bought(data: DataSet, plan: Plan, split: Split, budget: float) -> dict[str, float]:
    """What one plan buys under one split."""
    haystack = split.haystack
    frames, listed = plan(data, haystack, split.seed, budget)
    of_h, of_s = mean_ap(data, haystack), mean_ap(data, frames)
    of_rest = mean_ap(data, haystack & ~frames)
    repaired = mean_ap(data, haystack, data.wrong & frames[data.frame])
    return {
        "recovered": repaired - of_h,
        "S": of_s,
        "H-S": of_rest,
        "order": float(of_rest > of_h > of_s),
        "yield": float(np.mean([data.wrong[place] for place, _ in listed])),
        "mode": float(np.mean([data.modes[place] == mode for place, mode in listed]))
        if any(mode is not None for _, mode in listed)
        else float("nan"),
    }


def print_bought(
    out: Console, data: DataSet, plans: Mapping[str, Plan], splits: Sequence[Split]
) -> None:
    """The tables of AP recovered, and of the order, by budget."""
    found: dict[tuple[str, float], list[Mapping[str, float]]] = defaultdict(list)
    for split, (name, plan), budget in product(splits, plans.items(), BUDGETS):
        found[name, budget].append(bought(data, plan, split, budget))
    for table in (_recovered(found, plans), _leads(found, plans), _at_full_budget(found, plans)):
        table.title = f"{table.title}: {data.name}"
        out.print(table)


Found = Mapping[tuple[str, float], Sequence[Mapping[str, float]]]
"""What a plan of this name buys at this budget, by split."""


def _recovered(found: Found, plans: Iterable[str]) -> Table:
    table = _table("AP recovered by budget", *_by_budget(), "over random at 15%")
    base = _mean(found[RANDOM, 0.15], "recovered")
    for name in plans:
        cells = [figure(_column(found[name, budget], "recovered"), 4) for budget in BUDGETS]
        table.add_row(name, *cells, f"{_mean(found[name, 0.15], 'recovered') / base:.2f}")
    return table


def _leads(found: Found, plans: Collection[str]) -> Table:
    table = _table("AP recovered less the best baseline's, in % of it", *_by_budget())
    baselines = [name for name in BASELINES if name in plans]
    best = {
        budget: max(baselines, key=lambda name: _mean(found[name, budget], "recovered"))
        for budget in BUDGETS
    }
    for name in plans:
        if name not in baselines:
            cells = [_lead(found[name, budget], found[best[budget], budget]) for budget in BUDGETS]
            table.add_row(name, *cells)
    table.add_row("(best baseline)", *best.values())
    return table


def _lead(outcomes: Sequence[Mapping[str, float]], baseline: Sequence[Mapping[str, float]]) -> str:
    """The mean difference of the splits, with its 95% interval."""
    own, other = _column(outcomes, "recovered"), _column(baseline, "recovered")
    gaps = (np.array(own) - np.array(other)) / np.mean(other) * 100
    return figure(gaps.tolist(), 1)


def _at_full_budget(found: Found, plans: Iterable[str]) -> Table:
    orders = [f"order at {budget}" for budget in _by_budget()]
    table = _table("At a 15% budget", "mAP of S", "mAP of H-S", "yield", "same mode", *orders)
    for name in plans:
        at = found[name, 0.15]
        cells = [figure(_column(at, key), 3) for key in ("S", "H-S", "yield", "mode")]
        held = [f"{_mean(found[name, budget], 'order'):.0%}" for budget in BUDGETS]
        table.add_row(name, *cells, *held)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("plan", *columns):
        table.add_column(column)
    return table


def _by_budget() -> list[str]:
    return [f"{budget:.0%}" for budget in BUDGETS]


def _column(outcomes: Sequence[Mapping[str, float]], key: str) -> list[float]:
    return [outcome[key] for outcome in outcomes]


def _mean(outcomes: Sequence[Mapping[str, float]], key: str) -> float:
    return float(np.mean(_column(outcomes, key)))


def main() -> None:
    """Print the tables that are asked for."""
    parser = options(__doc__)
    parser.add_argument("--data", choices=DATA_SETS, default="both")
    parser.add_argument("--reference-share", type=float, default=REFERENCE_SHARE)
    parser.add_argument("--ablation", action="store_true", help="what each part of the model pays")
    parser.add_argument("--cost-shares", action="store_true", help="what the cost's weight pays")
    parser.add_argument("--miss-shares", action="store_true", help="what a share for misses pays")
    args = parser.parse_args()
    seeds = args.seeds
    out = Console(width=140)
    for load in DATA_SETS[args.data]:
        data = load()
        whole = mean_ap(data, np.ones(len(data.spots), np.bool_))
        splits = [Split.of(data, seed, args.reference_share) for seed in seeds]
        taken = f"seeds {seeds.start}:{seeds.stop}, reference {args.reference_share:.0%}"
        out.print(f"{data.name}: {len(data.spots)} frames, mAP {whole:.6f}, {taken}\n")
        if args.ablation:
            again: dict[str, Ranking] = {
                "nearest, crop, centred": RANKINGS["nearest, crop, centred"],
                **RERANKINGS,
                "all of it, MMR": MarginalRelevance(LEARNT),
            }
            print_shares(out, data, {**ABLATIONS, **again}, splits, "What each part pays")
            errors = [calibration_error(data, split) for split in splits]
            out.print(f"expected calibration error of learnt evidence: {figure(errors, 3)}\n")
            continue
        if args.cost_shares:
            print_bought(out, data, COST_SHARES, splits)
            continue
        if args.miss_shares:
            print_bought(out, data, SHARES_FOR_MISSES, splits)
            continue
        print_shares(out, data, RANKINGS, splits, "Ten frames per needle")
        print_bought(out, data, PLANS, splits)


if __name__ == "__main__":
    main()

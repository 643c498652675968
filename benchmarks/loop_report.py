"""The closed loop's tables, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.loop_frames import LoopSet
from benchmarks.loop_rounds import TWICE, Outcome
from benchmarks.loop_statistics import CostModel, PairedDifference, paired_difference
from services.contracts.identity import Category

RANDOM: Final = "random"
_AIM: Final = 1.1
"""mAP over mAP before: the reports' aim of 10%."""
Runs = Mapping[int, Sequence[Outcome]]
"""The rounds of each seed, of one strategy; round 0 first."""


def report(
    setup: str,
    outcomes: Mapping[tuple[int, str], Sequence[Outcome]],
    data: LoopSet,
    cost: CostModel,
) -> str:
    """All tables of the finished runs.

    Parameters
    ----------
    outcomes : the rounds of each seed and strategy
    """
    runs = _finished(outcomes)
    if RANDOM not in runs:
        return f"{setup}\n\nNothing to compare with: `random` has no finished run.\n"
    rarest = data.rarest()
    lines = [setup, "", *_power(runs), "", *_costs(runs, cost), "", *_against_random(runs, rarest)]
    return "\n".join(lines) + "\n"


def _finished(outcomes: Mapping[tuple[int, str], Sequence[Outcome]]) -> dict[str, Runs]:
    last = max((parts[-1].round for parts in outcomes.values()), default=0)
    runs: dict[str, dict[int, Sequence[Outcome]]] = {}
    for (seed, strategy), parts in sorted(outcomes.items()):
        if parts[-1].round == last:
            runs.setdefault(strategy, {})[seed] = parts
    return dict(runs)


def _power(runs: Mapping[str, Runs]) -> Iterator[str]:
    """Whether these sizes can show anything."""
    if TWICE not in runs:
        yield f"No power check: `{TWICE}` has no finished run."
        return
    found = _gaps(runs[TWICE], runs[RANDOM])
    enough = "enough to compare" if found.low > 0 else "NOT enough: no comparison below counts"
    yield (
        f"Power: random with twice the frames less random is {_interval(found)}, {enough}. The"
        f" smallest effect that {found.seeds} seeds show four times in five is"
        f" {found.detectable:.3f} AP."
    )


def _costs(runs: Mapping[str, Runs], cost: CostModel) -> Iterator[str]:
    yield "| strategy | seeds | frames | boxes | annotator hours | AP before | AP after | gain |"
    yield "|---|---|---|---|---|---|---|---|"
    for strategy, own in runs.items():
        last = [parts[-1] for parts in own.values()]
        frames = np.mean([part.frames for part in last])
        boxes = np.mean([part.boxes for part in last])
        hours = cost.seconds(float(frames), float(boxes)) / 3600
        before = float(np.mean([parts[0].mean_ap for parts in own.values()]))
        after = float(np.mean([part.mean_ap for part in last]))
        yield (
            f"| {strategy} | {len(own)} | {frames:.0f} | {boxes:.0f} | {hours:.2f}"
            f" | {before:.3f} | {after:.3f} | {_ratio(after - before, before, '+.0%')} |"
        )


def _against_random(runs: Mapping[str, Runs], rarest: Category) -> Iterator[str]:
    yield (
        f"| strategy | AP less random's, 95% | less entropy's | AP of {rarest}, the rarest, less"
        " random's | its gain, as a multiple of random's | random's final AP reached with"
        f" | +{_AIM - 1:.0%} reached with |"
    )
    yield "|---|---|---|---|---|---|---|"
    for strategy, every in runs.items():
        # Seeds differ in their AP before anything is chosen, so only those of both are compared.
        own, base = _of_both(every, runs[RANDOM])
        if not own:
            yield f"| {strategy} | - | - | - | - | - | - |"
            continue
        less_entropy = "-"
        if "entropy" in runs and strategy != "entropy" and runs["entropy"].keys() & own.keys():
            less_entropy = _interval(_gaps(own, runs["entropy"]))
        less_random = rare = multiple = "-"
        if strategy != RANDOM:
            less_random = _interval(_gaps(own, base))
            rare = _interval(_gaps(own, base, rarest))
            multiple = _ratio(_gain(own, rarest), _gain(base, rarest), ".1f")
        goal = float(np.mean([parts[-1].mean_ap for parts in base.values()]))
        start = float(np.mean([parts[0].mean_ap for parts in own.values()]))
        yield (
            f"| {strategy} | {less_random} | {less_entropy} | {rare} | {multiple}"
            f" | {_reached(own, goal)} | {_reached(own, _AIM * start)} |"
        )


def _of_both(first: Runs, second: Runs) -> tuple[Runs, Runs]:
    seeds = sorted(first.keys() & second.keys())
    return {seed: first[seed] for seed in seeds}, {seed: second[seed] for seed in seeds}


def _gaps(first: Runs, second: Runs, category: Category | None = None) -> PairedDifference:
    seeds = sorted(first.keys() & second.keys())
    return paired_difference(
        [_ap(first[seed][-1], category) for seed in seeds],
        [_ap(second[seed][-1], category) for seed in seeds],
    )


def _ap(outcome: Outcome, category: Category | None) -> float:
    return outcome.mean_ap if category is None else outcome.by_category.get(category, 0.0)


def _gain(own: Runs, category: Category) -> float:
    return float(
        np.mean([_ap(parts[-1], category) - _ap(parts[0], category) for parts in own.values()])
    )


def _reached(own: Runs, goal: float) -> str:
    """Frames and boxes of the first round whose mean AP is at least `goal`."""
    for number in sorted({part.round for parts in own.values() for part in parts}):
        found = [part for parts in own.values() for part in parts if part.round == number]
        if np.mean([part.mean_ap for part in found]) >= goal:
            frames = np.mean([part.frames for part in found])
            boxes = np.mean([part.boxes for part in found])
            return f"{frames:.0f} frames, {boxes:.0f} boxes"
    return "not reached"


def _ratio(value: float, of: float, form: str) -> str:
    return format(value / of, form) if of > 0 else "-"


def _interval(found: PairedDifference) -> str:
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"

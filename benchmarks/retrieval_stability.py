"""How many listed frames are taken off shortlists again during an import, and what that costs.

`python -m benchmarks.retrieval_stability`. Each seed is a split and an import: frames arrive in
a random order of drives, so many per epoch. Reference frames bring examples and needles, haystack
frames bring candidates. *Withdrawn* is the share of the frames ever listed that were taken off
again. The quality of the last shortlists is that of `benchmarks.retrieval_quality`, at a budget of
15%, as the paired difference to one plan of everything: `PLANS["worst-frames"]`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.retrieval_data import DataSet
from benchmarks.retrieval_measures import figure, options
from benchmarks.retrieval_plans import PLANS, Frames, Split, allocator_of, allowed, haystack_of
from benchmarks.retrieval_quality import bought
from benchmarks.retrieval_rankings import Task, tasks
from benchmarks.retrieval_sets import DATA_SETS
from services.contracts.identity import FrameId
from services.domain.arrays import IntArray
from services.domain.failure_modes import FailureMode
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.epochs import MIN_EARLY_EXAMPLES, WINDOW, Size, is_settled
from services.domain.shortlists.scored_candidates import Assignment, Key, ListedFrame
from services.domain.shortlists.strategies import STRATEGIES

SHARE = 0.15
PER_EPOCH = {"trapedesveh": 10, "survey-7": 20, "traffic lights": 20}
"""Some 5 and 10 frames a second."""
STRATEGY = "worst-frames"


@dataclass(frozen=True)
class Policy:
    """How many frames are listed while the import runs, and whether they stay.

    Attributes
    ----------
    early : share of the budget that is listed in every epoch before growth is slow. The retriever
        lists it once a minute, so from fuller models
    stays : frames that are listed stay; else a plan at the end of the import takes none over
    """

    early: float
    stays: bool = True


POLICIES: Mapping[str, Policy] = {
    "when growth is slow": Policy(early=0.0),
    "a twentieth of the budget early": Policy(early=0.05),
    "a fifth of the budget early": Policy(early=0.2),
    "in every epoch": Policy(early=1.0),
    "in every epoch, all planned again at the end": Policy(early=1.0, stays=False),
}


@dataclass
class Import:
    """An import of a data set under one split, so far."""

    data: DataSet
    seed: int
    seen: Frames = field(init=False)
    haystack: Frames = field(init=False)
    listed: dict[FrameId, Assignment] = field(default_factory=dict)
    ever: set[FrameId] = field(default_factory=set)
    withdrawn: set[FrameId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.haystack = haystack_of(self.data, self.seed)
        self.seen = np.zeros(len(self.data.spots), np.bool_)

    def arrivals(self, per_epoch: int) -> Iterator[IntArray]:
        """The frames of each epoch, drive by drive."""
        units = np.random.default_rng([self.seed, 2]).permutation(self.data.units.max() + 1)
        order = np.concatenate([np.flatnonzero(self.data.units == unit) for unit in units])
        for start in range(0, len(order), per_epoch):
            yield order[start : start + per_epoch]

    def size(self) -> Size:
        """What there is to allocate from."""
        return Size(int((self.seen & self.haystack).sum()), int((self.seen & ~self.haystack).sum()))

    def list_frames(self, share: float, *, kept: bool) -> None:
        """Allocate a share of the budget from what was seen."""
        limits = allowed(self.haystack & self.seen, SHARE)
        limits = replace(limits, budgets=Budgets(int(share * limits.budgets.haystack)))
        searched = {str(number): task for number, task in enumerate(self._tasks())}
        if not searched or (kept and len(self.listed) >= limits.budgets.haystack):
            return
        allocator = allocator_of(searched, self.haystack | ~self.seen, STRATEGIES[STRATEGY])
        before = self.listed if kept else {}
        for assignment in before.values():
            candidate = assignment.candidate
            allocator.keep(
                ListedFrame(
                    assignment.needle, candidate.region, candidate.context, candidate.family
                )
            )
        modes = None if share == 1 else _modes_fitted_well(searched)
        new = {
            assignment.candidate.context.frame: assignment
            for assignment in allocator.allocate(limits, modes)
        }
        after = before | new
        self.withdrawn |= self.listed.keys() - after.keys()
        self.ever |= after.keys()
        self.listed = after

    def plan(
        self, data: DataSet, haystack: Frames, seed: int, budget: float
    ) -> tuple[Frames, list[tuple[int, FailureMode | None]]]:
        """The last shortlists, as a plan of `benchmarks.retrieval_quality`."""
        del haystack, seed, budget
        regions = [
            (int(item.candidate.region), data.modes[int(item.needle)])
            for item in self.listed.values()
        ]
        taken = np.zeros(len(data.spots), np.bool_)
        taken[[data.frame[region] for region, _ in regions]] = True
        return taken, regions

    def _tasks(self) -> list[Task]:
        seen = self.seen[self.data.frame]
        found = [
            replace(
                task,
                reference=task.reference[seen[task.reference]],
                needles=task.needles[seen[task.needles]],
                haystack=task.haystack[seen[task.haystack]],
            )
            for task in tasks(self.data, self.haystack, self.seed)
        ]
        return [task for task in found if len(task.needles) and len(task.haystack)]


def _modes_fitted_well(searched: Mapping[str, Task]) -> set[Key]:
    """The modes whose model has enough examples for frames to be listed early."""
    return {
        (name, mode.error, mode.true_category or "")
        for name, task in searched.items()
        if len(task.reference) >= MIN_EARLY_EXAMPLES
        for place in task.needles
        if (mode := task.data.modes[place]) is not None
    }


def imported(data: DataSet, seed: int, policy: Policy) -> Import:
    """An import under a policy, and the epoch without events that follows it."""
    state = Import(data, seed)
    sizes: list[Size] = []
    for frames in state.arrivals(PER_EPOCH[data.name]):
        state.seen[frames] = True
        sizes.append(state.size())
        share = 1.0 if is_settled(sizes[-1 - WINDOW :]) else policy.early
        if share:
            state.list_frames(share, kept=True)
    state.list_frames(1.0, kept=policy.stays)
    return state


def print_stability(out: Console, data: DataSet, seeds: Sequence[int]) -> None:
    """The table of withdrawn frames, and of the quality against one plan of everything."""
    table = Table(title=f"Listed frames: {data.name}", title_justify="left")
    for column in ("frames are listed", "withdrawn", "AP recovered", "same mode", "order"):
        table.add_column(column)
    whole = [bought(data, PLANS[STRATEGY], Split.of(data, seed), SHARE) for seed in seeds]
    measures = ("recovered", "mode", "order")
    table.add_row("one plan", "", *(figure([item[name] for item in whole], 4) for name in measures))
    for name, policy in POLICIES.items():
        states = [imported(data, seed, policy) for seed in seeds]
        last = [bought(data, state.plan, Split.of(data, state.seed), SHARE) for state in states]
        differences = [
            figure([item[measure] - one[measure] for item, one in zip(last, whole, strict=True)], 4)
            for measure in measures
        ]
        shares = [len(state.withdrawn) / max(1, len(state.ever)) for state in states]
        table.add_row(name, figure(shares, 3), *differences)
    out.print(table)


def main() -> None:
    """Print a table per data set."""
    parser = options(__doc__)
    parser.add_argument("--data", choices=DATA_SETS, default="both")
    args = parser.parse_args()
    out = Console(width=140)
    for load in DATA_SETS[args.data]:
        print_stability(out, load(), args.seeds)


if __name__ == "__main__":
    main()

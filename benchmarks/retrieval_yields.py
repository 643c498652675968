"""Whether what a family has yielded so far should weigh in, by a replay of what comes back.

`python -m benchmarks.retrieval_yields`. Each seed is a split. A first plan of a tenth of the
haystack is corrected: its frames become examples, and each listed region is a verdict on the family
that it is like. Then as much again is dealt by models that learnt from it, on what is left: with
worths as they are, times the share of the family's verdicts that came true, or times the upper end
of that share's interval, which is what the retriever does.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.retrieval_data import DataSet, survey, trapedesveh
from benchmarks.retrieval_measures import figure, mean_ap, options
from benchmarks.retrieval_plans import Families, Frames, allocator_of, allowed, haystack_of
from benchmarks.retrieval_rankings import Task, tasks
from services.contracts.identity import FamilyId, NeedleId
from services.domain.failure_modes import FailureMode
from services.domain.mining.families import LeaderClusters, beyond, shared_by
from services.domain.shortlists.budgets import optimistic_yield
from services.domain.shortlists.scored_candidates import Assignment, ListedFrame
from services.domain.shortlists.strategies import STRATEGIES
from services.runtime.settings import Settings

BUDGET = 0.10
"""Of the first plan, and of the second."""
Weigh = Callable[[int, int], float]
"""By how many verdicts of a family came true, and how many there are."""
WAYS: Mapping[str, Weigh | None] = {
    "no yield": None,
    "the share so far": lambda confirmed, judged: (confirmed + 1) / (judged + 2),
    "its upper end (as it is)": optimistic_yield,
}


@dataclass(frozen=True)
class First:
    """A first plan, corrected."""

    data: DataSet
    haystack: Frames
    searched: Mapping[str, Task]
    families: Mapping[int, FamilyId]
    strategy: str
    assignments: Sequence[Assignment]

    @property
    def taken(self) -> Frames:
        """(F,), its frames."""
        return frames_of(self.data, self.assignments)

    def yields(self, weigh: Weigh) -> dict[FamilyId, float]:
        """Of families that were judged."""
        judged, confirmed = Counter[FamilyId](), Counter[FamilyId]()
        for assignment in self.assignments:
            judged[assignment.candidate.family] += 1
            confirmed[assignment.candidate.family] += fails_alike(self.data, assignment)
        return {family: weigh(confirmed[family], n) for family, n in judged.items()}


def frames_of(data: DataSet, assignments: Sequence[Assignment]) -> Frames:
    """(F,), which frames the assignments list."""
    taken = np.zeros(len(data.spots), np.bool_)
    taken[[data.frame[int(assignment.candidate.region)] for assignment in assignments]] = True
    return taken


def fails_alike(data: DataSet, assignment: Assignment) -> bool:
    """Whether a listed region is wrong as its needle is."""
    mode: FailureMode | None = data.modes[int(assignment.candidate.region)]
    return mode is not None and mode == data.modes[int(assignment.needle)]


def families_of(searched: Mapping[str, Task]) -> dict[int, FamilyId]:
    """Of all needles, as the retriever gathers them."""
    data = next(iter(searched.values())).data
    needles = np.concatenate([task.needles for task in searched.values()])
    shared = shared_by(data.vectors["crop"][needles])
    found: dict[int, FamilyId] = {}
    for name, task in searched.items():
        clusters: dict[FailureMode | None, LeaderClusters] = {}
        for place, row in zip(
            task.needles.tolist(), beyond(shared, data.vectors["crop"][task.needles]), strict=True
        ):
            mode = data.modes[place]
            of_mode = clusters.setdefault(mode, LeaderClusters(Settings().family_likeness))
            founder = of_mode.join(NeedleId(str(place)), row)
            found[place] = FamilyId(f"{name} {founder}")
    return found


def first_plan(data: DataSet, seed: int, strategy: str) -> First:
    """The assignments before any verdict."""
    haystack = haystack_of(data, seed)
    searched = {str(number): task for number, task in enumerate(tasks(data, haystack, seed))}
    families = families_of(searched)
    allocator = allocator_of(searched, haystack, STRATEGIES[strategy], Families(families, {}))
    assignments = allocator.allocate(allowed(haystack, BUDGET))
    return First(data, haystack, searched, families, strategy, assignments)


def second_plan(first: First, weigh: Weigh | None) -> list[Assignment]:
    """The assignments once the first plan's frames are annotated."""
    taken = first.taken
    wiser = {name: _corrected(task, taken) for name, task in first.searched.items()}
    yields = first.yields(weigh) if weigh else {}
    allocator = allocator_of(
        wiser,
        first.haystack & ~taken,
        STRATEGIES[first.strategy],
        Families(first.families, yields),
    )
    whole = allowed(first.haystack, 2 * BUDGET)
    for assignment in first.assignments:
        candidate = assignment.candidate
        allocator.keep(
            ListedFrame(
                assignment.needle,
                candidate.region,
                candidate.context,
                candidate.family,
                corrected=True,
            )
        )
    return allocator.allocate(whole)


def _corrected(task: Task, taken: Frames) -> Task:
    """The task once these frames are annotated: their regions are now examples."""
    data = task.data
    candidates = np.flatnonzero((data.category == task.category) & taken[data.frame])
    return replace(
        task,
        reference=np.union1d(task.reference, candidates),
        haystack=task.haystack[~taken[data.frame[task.haystack]]],
    )


def outcome(first: First, weigh: Weigh | None) -> tuple[float, float, float]:
    """AP recovered by both plans; of the second's regions, the shares wrong and wrong alike."""
    data = first.data
    assignments = second_plan(first, weigh)
    known = first.taken | frames_of(data, assignments)
    repaired = mean_ap(data, first.haystack, data.wrong & known[data.frame])
    return (
        repaired - mean_ap(data, first.haystack),
        float(
            np.mean([data.wrong[int(assignment.candidate.region)] for assignment in assignments])
        ),
        float(np.mean([fails_alike(data, assignment) for assignment in assignments])),
    )


def print_outcomes(out: Console, data: DataSet, strategy: str, seeds: Sequence[int]) -> None:
    """A row for each way, and how it differs from no yield, split by split."""
    firsts = [first_plan(data, seed, strategy) for seed in seeds]
    judged = float(np.mean([len(first.assignments) for first in firsts]))
    families = float(
        np.mean([len({item.candidate.family for item in f.assignments}) for f in firsts])
    )
    title = f"{data.name}, {strategy}: {judged:.0f} verdicts on {families:.0f} families"
    table = Table(title=title, title_justify="left")
    for column in ("worth times", "AP recovered", "more", "wrong", "same mode", "more"):
        table.add_column(column)
    plain = np.array([outcome(first, None) for first in firsts])
    for name, weigh in WAYS.items():
        every = np.array([outcome(first, weigh) for first in firsts]) if weigh else plain
        more = every - plain
        table.add_row(
            name,
            figure(every[:, 0].tolist(), 4),
            figure(more[:, 0].tolist(), 4),
            figure(every[:, 1].tolist(), 3),
            figure(every[:, 2].tolist(), 3),
            figure(more[:, 2].tolist(), 3),
        )
    out.print(table)


def main() -> None:
    """Print a table for each data set and strategy."""
    seeds = options(__doc__).parse_args().seeds
    out = Console(width=120)
    for load in (trapedesveh, survey):
        data = load()
        for strategy in STRATEGIES:
            print_outcomes(out, data, strategy, seeds)


if __name__ == "__main__":
    main()

"""Plans that are compared: which frames are listed under a split, a seed and a budget."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from benchmarks.detected_frames import DetectedFrames, sums_of
from benchmarks.retrieval_data import DataSet
from benchmarks.retrieval_rankings import (
    LEARNT,
    OPERATING,
    Ranking,
    Task,
    contrast,
    highest_score,
    lowest_score,
    similarity,
    tasks,
)
from services.contracts.identity import FamilyId, FrameId, NeedleId, RegionId
from services.domain.arrays import BoolArray, FloatArray, IntArray, Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import FailureModel
from services.domain.missed.evidence import evidence
from services.domain.missed.expected import MissModel
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.candidate_scoring import (
    CategoryModel,
    Haystack,
    ModeQuery,
    frame_worths,
    scored_candidates,
)
from services.domain.shortlists.scored_candidates import Limits, ScoredCandidate
from services.domain.shortlists.strategies import STRATEGIES, Blend, CategoryStats, Strategy
from services.retriever.allocation.budgets import limits_of
from services.runtime.settings import Settings

REFERENCE_SHARE = 0.25
_SETTINGS = Settings()

Frames = BoolArray
"""(F,), which frames are on shortlists."""
Plan = Callable[[DataSet, Frames, int, float], tuple[Frames, list[tuple[int, FailureMode | None]]]]
"""By data, haystack, seed and budget: the frames, and each listed region with its needle's mode."""


class InUnits(Protocol):
    """Frames in units that a split keeps together."""

    @property
    def units(self) -> IntArray:
        """(F,), from 0."""
        ...


def haystack_of(data: InUnits, seed: int, reference_share: float = REFERENCE_SHARE) -> Frames:
    """All frames but those of a share of the units, drawn at random."""
    units = np.random.default_rng(seed).permutation(data.units.max() + 1)
    reference = units[: round(reference_share * len(units))]
    return np.asarray(~np.isin(data.units, reference))


@dataclass(frozen=True)
class Split:
    """The haystack of a seed."""

    seed: int
    haystack: Frames

    @classmethod
    def of(cls, data: InUnits, seed: int, reference_share: float = REFERENCE_SHARE) -> "Split":
        """Draw the reference by the seed."""
        return cls(seed, haystack_of(data, seed, reference_share))


def first_frames(order: IntArray, data: DataSet, count: int) -> IntArray:
    """The first region on each of the first frames."""
    _, first = np.unique(data.frame[order], return_index=True)
    return order[np.sort(first)][:count]


def in_rounds(ranking: Ranking) -> Plan:
    """Needles in turn, each the best frame that none has had."""

    def plan(
        data: DataSet, haystack: Frames, seed: int, budget: float
    ) -> tuple[Frames, list[tuple[int, FailureMode | None]]]:
        queues = []
        for task in tasks(data, haystack, seed):
            for needle, row in zip(task.needles, ranking(task), strict=True):
                order = task.haystack[np.argsort(-row, kind="stable")]
                queues.append((int(needle), first_frames(order, data, len(order)).tolist()))
        np.random.default_rng(seed).shuffle(queues)
        return _taken_in_turn(data, queues, round(budget * haystack.sum()))

    return plan


def _taken_in_turn(
    data: DataSet, queues: Sequence[tuple[int, list[int]]], count: int
) -> tuple[Frames, list[tuple[int, FailureMode | None]]]:
    taken = np.zeros(len(data.spots), np.bool_)
    listed: list[tuple[int, FailureMode | None]] = []
    while len(listed) < count and any(queue for _, queue in queues):
        for needle, queue in queues:
            while queue and taken[data.frame[queue[0]]]:
                queue.pop(0)
            if queue and len(listed) < count:
                place = queue.pop(0)
                taken[data.frame[place]] = True
                listed.append((place, data.modes[needle]))
    return taken, listed


def random_frames(
    data: DataSet, haystack: Frames, seed: int, budget: float
) -> tuple[Frames, list[tuple[int, FailureMode | None]]]:
    """Any frames, whatever is on them; the regions shown there are not of any needle's mode."""
    rng = np.random.default_rng([seed, 1])
    frames = rng.permutation(np.flatnonzero(haystack))[: round(budget * haystack.sum())]
    taken = np.zeros(len(data.spots), np.bool_)
    taken[frames] = True
    shown = np.flatnonzero(taken[data.frame] & (data.scores >= OPERATING))
    return taken, [(int(place), None) for place in shown]


def by_strategy(strategy: Strategy) -> Plan:
    """What the retriever does."""

    def plan(
        data: DataSet, haystack: Frames, seed: int, budget: float
    ) -> tuple[Frames, list[tuple[int, FailureMode | None]]]:
        searched = {str(number): task for number, task in enumerate(tasks(data, haystack, seed))}
        allocator = allocator_of(searched, haystack, strategy)
        listed = [
            (int(assignment.candidate.region), data.modes[int(assignment.needle)])
            for assignment in allocator.allocate(allowed(haystack, budget))
        ]
        taken = np.zeros(len(data.spots), np.bool_)
        taken[[data.frame[place] for place, _ in listed]] = True
        return taken, listed

    return plan


def sharing(strategy: Strategy, share: float) -> Plan:
    """A share of the budget for frames of which the detector probably missed most."""

    def plan(
        data: DataSet, haystack: Frames, seed: int, budget: float
    ) -> tuple[Frames, list[tuple[int, FailureMode | None]]]:
        frames, listed = by_strategy(strategy)(data, haystack, seed, budget * (1 - share))
        worth = np.where(haystack & ~frames, missed_more_than_shown(data, haystack), -np.inf)
        left = round(budget * haystack.sum()) - frames.sum()
        frames[np.argsort(-worth, kind="stable")[:left]] = True
        return frames, listed

    return plan


def missed_more_than_shown(data: DataSet, haystack: Frames) -> FloatArray:
    """(F,), how many more objects a frame is expected to have that are missed than are shown.

    A frame of which nothing else is known comes before one with right detections beside the misses:
    on its own it has a lower AP.
    """
    shown = data.scores >= OPERATING
    categories = data.truths.shape[1]
    found = np.zeros_like(data.truths)
    hits = shown & ~data.wrong
    np.add.at(found, (data.frame[hits], data.category[hits]), 1)
    detected = DetectedFrames(
        data.frame,
        data.category,
        data.scores,
        np.concatenate([item.boxes for item in data.looked]),
        data.areas,
        [context.drive for context in data.spots],
        np.array([context.second for context in data.spots]),
        categories,
    )
    features = evidence(sums_of(detected, OPERATING))
    missed = (data.truths - found).astype(np.float64)
    model = MissModel.fit(features[~haystack], missed[~haystack])
    expected = np.zeros(len(haystack)) if model is None else model.expected(features).sum(axis=1)
    return np.asarray(expected - np.bincount(data.frame[shown], minlength=len(haystack)))


def allowed(haystack: Frames, share: float) -> Limits:
    """The retriever's limits, with a share of the haystack's frames in all."""
    return replace(limits_of(0, _SETTINGS), budgets=Budgets(round(share * haystack.sum())))


@dataclass(frozen=True)
class Families:
    """Of the needles, by their places; and what of them was judged has yielded.

    A needle that is missing is of one family with all others that are.
    """

    of: Mapping[int, FamilyId]
    yields: Mapping[FamilyId, float]

    def mode_query(self, places: Sequence[int], vectors: Vectors) -> ModeQuery:
        """The needles of a mode, all of them exemplars."""
        return ModeQuery(vectors, [self.family(place) for place in places])

    def family(self, place: int) -> FamilyId:
        """The family of a needle."""
        return self.of.get(place, _ONE)

    def weighed(self, candidates: Iterable[ScoredCandidate]) -> list[ScoredCandidate]:
        """The candidates, worth as much more or less as their families have yielded."""
        return [
            replace(candidate, worth=candidate.worth * self.yields.get(candidate.family, 1.0))
            for candidate in candidates
        ]


_ONE = FamilyId("all")
_NO_FAMILIES = Families({}, {})


def allocator_of(
    searched: Mapping[str, Task],
    haystack: Frames,
    strategy: Strategy,
    families: Families = _NO_FAMILIES,
) -> BudgetAllocator:
    """All needles, and the candidates of their modes; regions are named by their places.

    Parameters
    ----------
    haystack : (F,), the frames of which no truth is known
    """
    evidence_min = _SETTINGS.shortlist_evidence
    category_models = {name: _category_model(task, haystack) for name, task in searched.items()}
    haystacks = {name: _haystack(task) for name, task in searched.items()}
    worths: Counter[FrameId] = Counter()
    for name, category_model in category_models.items():
        worths.update(frame_worths(category_model, haystacks[name], strategy))
    allocator = BudgetAllocator(allowed(haystack, 1.0))
    for name, task in searched.items():
        of_mode = _needles(task)
        vectors = {mode: task.data.vectors["crop"][places] for mode, places in of_mode.items()}
        queries = {mode: families.mode_query(of_mode[mode], rows) for mode, rows in vectors.items()}
        candidates = scored_candidates(
            category_models[name], haystacks[name], queries, worths, evidence_min
        )
        for mode, places in of_mode.items():
            key = (name, mode.error, mode.true_category or "")
            for place in places:
                allocator.add_needle(key, NeedleId(f"{place:06d}"), families.family(place))
            allocator.add_candidates(key, families.weighed(candidates.get(mode, ())))
    return allocator


def _needles(task: Task) -> dict[FailureMode, list[int]]:
    of = defaultdict(list)
    for place in task.needles:
        mode = task.data.modes[place]
        assert mode is not None
        of[mode].append(int(place))
    return of


def _category_model(task: Task, haystack: Frames) -> CategoryModel:
    data = task.data
    known = (data.category == task.category) & ~haystack[data.frame]
    truths = int(data.truths[~haystack, task.category].sum())
    return CategoryModel(
        _learnt(task),
        CategoryStats(data.scores[known], data.matched[known], truths),
    )


@lru_cache(maxsize=32)  # by all strategies and budgets of a split
def _learnt(task: Task) -> FailureModel:
    return LEARNT.model(task)


def _haystack(task: Task) -> Haystack:
    data, places = task.data, task.haystack
    return Haystack(
        [RegionId(f"{place:06d}") for place in places],
        data.vectors["crop"][places],
        data.features[places],
        data.scores[places],
        [data.spots[frame] for frame in data.frame[places]],
    )


PLANS: Mapping[str, Plan] = {
    "random frames": random_frames,
    "plain similarity": in_rounds(similarity("crop", centred=False)),
    "lowest score": in_rounds(lowest_score),
    "highest score": in_rounds(highest_score),
    "contrast": in_rounds(contrast("crop", 0.0)),
    "learnt, in rounds": in_rounds(LEARNT),
    **{name: by_strategy(strategy) for name, strategy in STRATEGIES.items()},
}
BASELINES = ("random frames", "plain similarity", "lowest score", "highest score", "contrast")
_SHARED = ("worst-frames", "costliest-errors")
SHARES_FOR_MISSES: Mapping[str, Plan] = {
    **{name: PLANS[name] for name in (*BASELINES, *_SHARED)},
    **{
        f"{name}, {share:.0%} for misses": sharing(STRATEGIES[name], share)
        for name in _SHARED
        for share in (0.2, 0.4)
    },
}
COST_SHARES: Mapping[str, Plan] = {
    "random frames": random_frames,
    **{f"cost share {share}": by_strategy(Blend(share)) for share in (0, 0.1, 0.15, 0.2, 0.5, 1)},
}

"""Allocation in two stages, for a detector whose candidates do not fit into one process.

Shards hold the candidates, divided in any way. Each nominates the best of every mode, and one
allocator assigns the nominated to shortlists. That is the allocation of all candidates, exactly,
unless a mode used up its nominated candidates while it had others; then it is done again with twice
as many of that mode. Twice a mode's share of the budget is enough in most cases.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Protocol

from services.domain.shortlists.allocation import Shortlists, Verdict, allocator_of, yields_of
from services.domain.shortlists.mode_queue import Rank, Yields, rank_of
from services.domain.shortlists.scored_candidates import (
    Key,
    Limits,
    ListedFrame,
    ModeNeedles,
    ScoredCandidate,
)


@dataclass(frozen=True)
class Nominated:
    """The best candidates of a mode.

    Attributes
    ----------
    candidates : the best first
    last : of candidates up to this rank, none is missing; None if none is missing at all
    """

    candidates: Sequence[ScoredCandidate]
    last: Rank | None


class CandidateShard(Protocol):
    """A part of a detector's candidates."""

    def nominate(self, key: Key, yields: Yields, count: int) -> Nominated:
        """The best `count` candidates of a mode, under these yields of families."""
        ...


def nominated(candidates: Iterable[ScoredCandidate], yields: Yields, count: int) -> Nominated:
    """The best `count` of these candidates of one mode.

    Parameters
    ----------
    count : at least 1
    """

    def rank(candidate: ScoredCandidate) -> Rank:
        return rank_of(candidate, yields)

    best = nsmallest(count + 1, candidates, key=rank)
    if len(best) <= count:
        return Nominated(best, None)
    return Nominated(best[:count], rank(best[count - 1]))


def merged(parts: Iterable[Nominated], yields: Yields) -> Nominated:
    """What the shards nominated of one mode, up to where none is missing."""
    whole = list(parts)
    last = min((part.last for part in whole if part.last is not None), default=None)
    candidates = [
        candidate
        for part in whole
        for candidate in part.candidates
        if last is None or rank_of(candidate, yields) <= last
    ]
    return Nominated(candidates, last)


def allocate_sharded(
    shards: Sequence[CandidateShard],
    needles: Mapping[Key, ModeNeedles],
    verdicts: Sequence[Verdict],
    previous: Sequence[ListedFrame],
    limits: Limits,
) -> Shortlists:
    """Equals `allocate` of all the shards' candidates; the other arguments are the same."""
    yields = yields_of(verdicts)
    counts = _first_counts(needles, limits)
    found: dict[Key, Nominated] = {}
    while True:
        for key in counts.keys() - found.keys():
            parts = [shard.nominate(key, yields, counts[key]) for shard in shards]
            found[key] = merged(parts, yields)
        candidates = {key: of_mode.candidates for key, of_mode in found.items()}
        allocator = allocator_of(candidates, needles, verdicts, previous, limits)
        allocator.allocate(limits)
        short = [key for key in allocator.used_up if found[key].last is not None]
        if not short:
            return allocator.shortlists()
        for key in short:
            counts[key] *= 2
            del found[key]


def _first_counts(needles: Mapping[Key, ModeNeedles], limits: Limits) -> dict[Key, int]:
    """Twice each mode's share of the budget, at most twice what its shortlists hold."""
    budget, every = limits.budgets.haystack, sum(map(len, needles.values()))
    return {
        key: 2 * max(1, min(limits.size * len(of_mode), budget * len(of_mode) // every))
        for key, of_mode in needles.items()
        if of_mode
    }

"""Allocation in two stages is that of all candidates, however they are divided into shards."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.identity import FamilyId, NeedleId, RegionId
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.mode_queue import Yields
from services.domain.shortlists.scored_candidates import Key, Limits, ScoredCandidate
from services.domain.shortlists.sharded_allocation import Nominated, allocate_sharded, nominated
from tests.unit.domain.test_allocate import DAY_S, Inputs, context, inputs


@dataclass
class Shard:
    """A part of the candidates, which counts what it nominates."""

    candidates: dict[Key, list[ScoredCandidate]] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)

    def nominate(self, key: Key, yields: Yields, count: int) -> Nominated:
        self.counts.append(count)
        return nominated(self.candidates.get(key, []), yields, count)


def divided(given_: Inputs, parts: Sequence[int]) -> list[Shard]:
    """The candidates in shards, by these numbers in turn."""
    shards = [Shard() for _ in range(4)]
    every = [(key, item) for key, items in given_.candidates.items() for item in items]
    for place, (key, item) in enumerate(every):
        shards[parts[place % len(parts)]].candidates.setdefault(key, []).append(item)
    return shards


def allocated(given_: Inputs, shards: Sequence[Shard]) -> object:
    return allocate_sharded(shards, given_.needles, given_.verdicts, given_.previous, given_.limits)


@given(inputs(), st.lists(st.integers(0, 3), min_size=1, max_size=60))
@settings(deadline=None)
def test_two_stages_give_the_single_allocation(given_: Inputs, parts: list[int]) -> None:
    assert allocated(given_, divided(given_, parts)) == given_.allocated()


KEY: Key = ("detector", "stop sign", "background", "")
FAMILY = FamilyId("f")


def one_mode(frames: Sequence[int], *, apart_s: float) -> Inputs:
    """One needle with room for two frames, and candidates on these, the best first."""
    candidates = [
        ScoredCandidate(RegionId(f"r{frame}"), context(frame), 9.0 - place, 1.0, FAMILY)
        for place, frame in enumerate(frames)
    ]
    limits = Limits(Budgets(2), size=2, per_drive=9, apart_s=apart_s, apart_m=0.0)
    return Inputs({KEY: candidates}, {KEY: {NeedleId("a"): FAMILY}}, [], [], limits)


# Frames 1, 11, 31 and 41 are of one drive, frame 2 is of another.
SAME_DRIVE = [1, 11, 31, 41]


def test_a_mode_that_uses_up_what_was_nominated_is_asked_for_twice_as_many() -> None:
    given_ = one_mode([*SAME_DRIVE, 2], apart_s=2 * DAY_S)
    shard = Shard({KEY: list(given_.candidates[KEY])})
    assert allocated(given_, [shard]) == given_.allocated() == {"a": ("frame01", "frame02")}
    assert shard.counts == [4, 8]


def test_no_candidate_is_taken_for_want_of_a_better_one_that_was_not_nominated() -> None:
    given_ = one_mode([*SAME_DRIVE, 2, 4], apart_s=2 * DAY_S)
    *first, last = given_.candidates[KEY]
    shards = [Shard({KEY: first}), Shard({KEY: [last]})]
    assert allocated(given_, shards) == given_.allocated() == {"a": ("frame01", "frame02")}


def test_a_mode_that_is_served_is_not_asked_again() -> None:
    given_ = one_mode([*SAME_DRIVE, 2], apart_s=0.0)
    shard = Shard({KEY: list(given_.candidates[KEY])})
    assert allocated(given_, [shard]) == given_.allocated() == {"a": ("frame01", "frame11")}
    assert shard.counts == [4]

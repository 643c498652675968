"""Shortlists are a function of what they are allocated from, in any order and in any parts."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.shortlists.allocation import BudgetAllocator, Shortlists, Verdict
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.scored_candidates import (
    CaptureContext,
    Key,
    Limits,
    ListedFrame,
    ScoredCandidate,
)

DAY_S = 86_400


@dataclass(frozen=True)
class Inputs:
    """What the shortlists of an epoch are allocated from.

    Attributes
    ----------
    previous : the shortlists of the epoch before
    released : the frames that leave these
    """

    candidates: Mapping[Key, Sequence[ScoredCandidate]]
    needles: Mapping[Key, Mapping[NeedleId, FamilyId]]
    verdicts: Sequence[Verdict]
    previous: Sequence[ListedFrame]
    released: AbstractSet[FrameId]
    limits: Limits

    @property
    def kept(self) -> list[ListedFrame]:
        """The frames that stay while their needles are active."""
        return [item for item in self.previous if item.context.frame not in self.released]

    def allocator(self) -> BudgetAllocator:
        """One that is given everything once."""
        allocator = BudgetAllocator(self.limits)
        for key, needles in self.needles.items():
            for needle, family in needles.items():
                allocator.add_needle(key, needle, family)
        allocator.judge(self.verdicts)
        for listed in self.kept:
            allocator.keep(listed)
        for key, candidates in self.candidates.items():
            allocator.add_candidates(key, candidates)
        return allocator

    def allocated(self) -> Shortlists:
        allocator = self.allocator()
        allocator.allocate(self.limits)
        return allocator.shortlists()

    def after(self, shortlists: Shortlists) -> "Inputs":
        """The same for the next epoch, which finds these shortlists."""
        kept = {item.context.frame: item for item in self.kept}
        new = {
            candidate.context.frame: candidate
            for key in sorted(self.candidates)
            for candidate in self.candidates[key]
        }
        listed = [
            kept.get(frame)
            or ListedFrame(needle, new[frame].region, new[frame].context, new[frame].family)
            for needle, frames in shortlists.items()
            for frame in frames
        ]
        return replace(self, previous=listed, released=frozenset())


KEYS: list[Key] = [
    ("detector", "stop sign", mode, "") for mode in ("background", "duplicate", "both")
]
FAMILIES = [FamilyId(name) for name in ("f", "g", "h")]


def context(frame: int) -> CaptureContext:
    drive = DriveId(f"d{frame % 5}") if frame % 3 else None
    second = float(frame % 2 * DAY_S + frame)
    return CaptureContext(
        FrameId(f"frame{frame:02d}"), drive, second, None, VehicleId(f"v{frame % 2}")
    )


@st.composite
def inputs(draw: st.DrawFn) -> Inputs:
    worths = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0])
    family = st.sampled_from(FAMILIES)
    needles = {
        key: {
            NeedleId(f"needle{number}{place}"): draw(family)
            for place in range(draw(st.integers(1, 4)))
        }
        for number, key in enumerate(KEYS)
    }
    # One family per frame: it is the frame's look, whatever mode lists it.
    family_of = [draw(family) for _ in range(40)]
    candidates = {
        key: [
            ScoredCandidate(
                RegionId(f"region{number}-{frame:02d}"),
                context(frame),
                draw(worths),
                1.0,
                family_of[frame],
            )
            for frame in sorted(draw(st.sets(st.integers(0, 39), max_size=20)))
        ]
        for number, key in enumerate(KEYS)
    }
    every = [needle for of_mode in needles.values() for needle in of_mode]
    previous = [
        ListedFrame(
            draw(st.sampled_from(every)),
            RegionId(f"listed-{frame:02d}"),
            context(frame),
            family_of[frame],
            corrected=draw(st.booleans()),
        )
        for frame in sorted(draw(st.sets(st.integers(0, 39), max_size=6)))
    ]
    released = {
        item.context.frame for item in previous if not item.corrected and draw(st.booleans())
    }
    verdicts = [
        Verdict(draw(family), confirmed=draw(st.booleans())) for _ in range(draw(st.integers(0, 5)))
    ]
    budgets = Budgets(
        draw(st.integers(1, 25)), day=draw(st.integers(0, 9)), family=draw(st.integers(0, 5))
    )
    limits = Limits(
        budgets,
        size=draw(st.integers(1, 6)),
        per_drive=2,
        apart_s=draw(st.sampled_from([0, 6.0])),
        apart_m=0.0,
    )
    return Inputs(candidates, needles, verdicts, previous, released, limits)


T = TypeVar("T")


def permuted(draw: st.DrawFn, items: Iterable[T]) -> list[T]:
    return draw(st.permutations(list(items)))


def shuffled(draw: st.DrawFn, given_: Inputs) -> Inputs:
    candidates, needles = given_.candidates, given_.needles
    return replace(
        given_,
        candidates={key: permuted(draw, candidates[key]) for key in permuted(draw, candidates)},
        needles={
            key: dict(permuted(draw, needles[key].items())) for key in permuted(draw, needles)
        },
        verdicts=permuted(draw, given_.verdicts),
        previous=permuted(draw, given_.previous),
    )


@given(st.data(), inputs())
def test_the_order_of_the_inputs_does_not_matter(data: st.DataObject, given_: Inputs) -> None:
    other = data.draw(st.composite(shuffled)(given_))
    assert other.allocated() == given_.allocated()


@given(inputs())
def test_a_replay_of_the_epoch_changes_nothing(given_: Inputs) -> None:
    shortlists = given_.allocated()
    assert given_.after(shortlists).allocated() == shortlists


@given(inputs())
def test_what_is_not_released_stays_while_its_needle_is_active(given_: Inputs) -> None:
    shortlists = given_.allocated()
    for listed in given_.kept:
        assert listed.context.frame in shortlists[listed.needle]


@given(inputs(), st.data())
def test_a_retracted_needle_frees_its_frames(given_: Inputs, data: st.DataObject) -> None:
    shortlists = given_.allocated()
    key = data.draw(st.sampled_from(KEYS))
    needle = data.draw(st.sampled_from(sorted(given_.needles[key])))
    fewer = {of: dict(needles) for of, needles in given_.needles.items()}
    del fewer[key][needle]
    after = replace(given_.after(shortlists), needles=fewer).allocated()
    assert needle not in after
    for other, frames in shortlists.items():
        if other != needle:
            assert set(frames) <= set(after[other])


def incremental(given_: Inputs, parts: Sequence[int]) -> Shortlists:
    """An allocator that is given the candidates in parts, in between other changes."""
    allocator = BudgetAllocator(given_.limits)
    for key, needles in given_.needles.items():
        for needle, family in needles.items():
            allocator.add_needle(key, needle, family)
        # A region is scored again, a needle goes: nothing remains of either.
        allocator.add_needle(key, NeedleId("gone"), FAMILIES[0])
        allocator.add_candidates(key, [replace(item, worth=9.0) for item in given_.candidates[key]])
        allocator.remove_needle(NeedleId("gone"))
    for listed in given_.previous:
        allocator.keep(replace(listed, corrected=False))
    for listed in given_.previous:
        if listed.corrected:
            allocator.correct(listed.context.frame)
        elif listed.context.frame in given_.released:
            allocator.release(listed.context.frame)
    for part in sorted(set(parts)):
        for key, candidates in given_.candidates.items():
            of_part = [
                item for item, where in zip(candidates, parts, strict=False) if where == part
            ]
            allocator.add_candidates(key, of_part)
    allocator.judge(given_.verdicts)
    allocator.allocate(given_.limits)
    return allocator.shortlists()


@given(inputs(), st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_an_allocator_that_is_updated_in_parts_reaches_the_same(
    given_: Inputs, parts: list[int]
) -> None:
    assert incremental(given_, parts) == given_.allocated()


@given(inputs(), st.integers(0, 10))
def test_an_allocator_goes_on_as_one_that_starts_from_its_shortlists(
    given_: Inputs, more: int
) -> None:
    allocator = given_.allocator()
    allocator.allocate(given_.limits)
    first = allocator.shortlists()
    budgets = replace(given_.limits.budgets, haystack=given_.limits.budgets.haystack + more)
    larger = replace(given_.limits, budgets=budgets)
    allocator.allocate(larger)
    assert allocator.shortlists() == replace(given_.after(first), limits=larger).allocated()

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from services.contracts.identity import (
    DriveId,
    FamilyId,
    FrameId,
    NeedleId,
    RegionId,
    VehicleId,
    family_id,
)
from services.domain.shortlists import mode_queue
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.assigned_frames import AssignedFrames
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.near_duplicates import are_near_duplicates
from services.domain.shortlists.scored_candidates import (
    CaptureContext,
    Limits,
    ListedFrame,
    ScoredCandidate,
)

VEHICLE = VehicleId("v")
FAMILY = FamilyId("f")
MEMORY_OF_FEW = 50_000
"""In bytes: entries of a thousand take several times as much."""
WIDE = Limits(Budgets(100), size=100, per_drive=100, apart_s=0.0, apart_m=0.0)


@dataclass(frozen=True)
class Group:
    """A mode: its needles with their families, and what it is offered."""

    needles: Mapping[str, FamilyId]
    candidates: Sequence[ScoredCandidate]


def context(
    name: str, drive: str | None = None, second: float = 0.0, east_m: float = 0.0
) -> CaptureContext:
    degrees = east_m / 111_195
    return CaptureContext(
        FrameId(name), DriveId(drive) if drive else None, second, (0.0, degrees), VEHICLE
    )


def candidate(
    seen: CaptureContext, worth: float, family: FamilyId = FAMILY, region: str = ""
) -> ScoredCandidate:
    region_id = RegionId(region or f"on-{seen.frame}")
    return ScoredCandidate(region_id, seen, worth, 1.0, family)


def group(needles: str, **worths: float) -> Group:
    """Needles of one letter each and one family, frames without a drive."""
    return alike(needles, [context(name) for name in worths], list(worths.values()))


def alike(needles: str, contexts: Sequence[CaptureContext], worths: Sequence[float]) -> Group:
    candidates = [candidate(seen, worth) for seen, worth in zip(contexts, worths, strict=True)]
    return Group(dict.fromkeys(needles, FAMILY), candidates)


def in_families(needles: Mapping[str, str], **frames: tuple[float, str]) -> Group:
    """Needles by family, and frames by their worth and the family that they resemble."""
    return Group(
        {needle: FamilyId(family) for needle, family in needles.items()},
        [
            candidate(context(name), worth, FamilyId(family))
            for name, (worth, family) in frames.items()
        ],
    )


def listed(needle: str, seen: CaptureContext) -> ListedFrame:
    return ListedFrame(NeedleId(needle), RegionId(f"on-{seen.frame}"), seen, FAMILY, corrected=True)


def allocator_of(groups: Sequence[Group]) -> BudgetAllocator:
    allocator = BudgetAllocator(WIDE)
    for number, group_ in enumerate(groups):
        key = (str(number),)
        for needle, family in group_.needles.items():
            allocator.add_needle(key, NeedleId(needle), family)
        allocator.add_candidates(key, [one for one in group_.candidates if one.worth > 0])
    return allocator


def allocated(
    groups: Sequence[Group],
    limits: Limits = WIDE,
    kept: Mapping[str, Sequence[CaptureContext]] | None = None,
) -> dict[str, list[str]]:
    allocator = allocator_of(groups)
    for needle, contexts in (kept or {}).items():
        for context_ in contexts:
            allocator.keep(listed(needle, context_))
    return frames_of(allocator, limits)


def frames_of(allocator: BudgetAllocator, limits: Limits = WIDE) -> dict[str, list[str]]:
    """What is dealt now, by needle."""
    chosen: dict[str, list[str]] = {}
    for limit in allocator.allocate(limits):
        chosen.setdefault(limit.needle, []).append(limit.candidate.context.frame)
    return chosen


def memory_kept_by(work: Callable[[], None]) -> int:
    """Bytes that are still in use after the work, of those that it allocated."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def limits(
    budget: int = 100, size: int = 100, per_drive: int = 100, apart_s: float = 0, apart_m: float = 0
) -> Limits:
    return Limits(Budgets(budget), size, per_drive, apart_s, apart_m)


def test_a_needle_gets_the_frames_of_most_worth_best_first() -> None:
    assert allocated([group("n", a=0.2, b=0.9, c=0.5)]) == {"n": ["b", "c", "a"]}


def test_a_shortlist_whose_frames_are_released_takes_no_memory() -> None:
    assigned = AssignedFrames({})

    def assign_and_release(count: int) -> None:
        for number in range(count):
            assigned.assign(listed(f"needle {number}", context("a", f"drive {number}")))
            assigned.release(FrameId("a"))

    assign_and_release(1)
    assert memory_kept_by(lambda: assign_and_release(1000)) < MEMORY_OF_FEW
    assert not assigned.listed


def test_frames_of_equal_worth_come_by_name() -> None:
    assert allocated([group("n", c=1.0, a=1.0, b=1.0)]) == {"n": ["a", "b", "c"]}


def test_a_frame_of_no_worth_is_not_shown() -> None:
    assert allocated([group("n", a=0.0, b=0.1)]) == {"n": ["b"]}


def test_needles_of_a_mode_share_its_frames_and_none_is_shown_twice() -> None:
    one = group("mn", a=4, b=3, c=2, d=1)
    assert allocated([one], limits(size=2)) == {"m": ["a", "b"], "n": ["c", "d"]}


def test_a_shortlist_is_opened_for_the_family_that_the_frame_resembles_and_filled_first() -> None:
    one = in_families({"m": "f", "n": "g"}, a=(3, "g"), b=(2, "f"), c=(1, "f"))
    assert allocated([one], limits(size=2)) == {"n": ["a", "b"], "m": ["c"]}


def test_of_two_open_shortlists_that_of_its_family_gets_the_frame() -> None:
    one = in_families({"m": "f", "n": "g"}, b=(3, "f"), c=(2, "g"), d=(1, "g"))
    kept = {"m": [context("a")], "n": [context("e")]}
    assert allocated([one], WIDE, kept) == {"m": ["b"], "n": ["c", "d"]}


def test_of_two_open_shortlists_of_other_families_the_fuller_gets_the_frame() -> None:
    one = in_families({"m": "f", "n": "g"}, b=(3, "h"))
    kept = {"m": [context("a")], "n": [context("d"), context("e")]}
    assert allocated([one], WIDE, kept) == {"n": ["b"]}


def test_the_needle_that_leads_its_family_gets_the_first_shortlist() -> None:
    leader = NeedleId("z")
    one = in_families({"m": family_id(leader), leader: family_id(leader)}, a=(1, family_id(leader)))
    assert allocated([one], limits(size=1)) == {leader: ["a"]}


def test_two_regions_of_one_frame_are_one_frame() -> None:
    one = group("n", a=3, b=1)
    again = candidate(context("a"), 2.0, region="another-on-a")
    assert allocated([Group(one.needles, [*one.candidates, again])]) == {"n": ["a", "b"]}


def test_a_frame_goes_to_the_mode_that_gains_most_by_it() -> None:
    groups = [group("m", a=1.0, b=0.9), group("n", a=2.0, b=0.1)]
    assert allocated(groups) == {"n": ["a"], "m": ["b"]}


def test_in_each_round_a_mode_gets_as_many_frames_as_it_has_needles() -> None:
    groups = [group("m", a=9, b=8, c=7), group("n", d=1)]
    assert allocated(groups, limits(budget=2)) == {"m": ["a"], "n": ["d"]}
    groups = [group("mo", a=9, b=8, c=7), group("n", d=1)]
    assert allocated(groups, limits(budget=3)) == {"m": ["a", "b"], "n": ["d"]}


def test_the_budget_goes_to_those_with_most_to_gain() -> None:
    groups = [group("m", a=1), group("n", b=3), group("o", c=2)]
    assert allocated(groups, limits(budget=2)) == {"n": ["b"], "o": ["c"]}


def test_a_shortlist_has_its_size_and_the_next_needle_takes_the_rest() -> None:
    assert allocated([group("mn", a=4, b=3, c=2)], limits(size=1)) == {"m": ["a"], "n": ["b"]}


def test_a_needle_sees_few_frames_of_a_drive() -> None:
    contexts = [context("a", "d1"), context("b", "d1"), context("c", "d2")]
    one = alike("n", contexts, [3, 2, 1])
    assert allocated([one], limits(per_drive=1)) == {"n": ["a", "c"]}


def test_frames_without_a_drive_are_not_capped() -> None:
    assert allocated([group("n", a=2, b=1)], limits(per_drive=1)) == {"n": ["a", "b"]}


def test_a_mode_is_not_shown_one_place_twice() -> None:
    contexts = [context("a", "d1", 0.0), context("b", "d1", 0.5), context("c", "d1", 2.0)]
    assert allocated([alike("mn", contexts, [3, 2, 1])], limits(apart_s=1.0)) == {"m": ["a", "c"]}


def test_what_is_kept_counts_in_every_limit_and_is_not_dealt_again() -> None:
    kept = {"n": [context("a")]}
    assert allocated([group("n", a=3, b=2, c=1)], limits(budget=2), kept) == {"n": ["b"]}
    assert allocated([group("n", a=3, b=2, c=1)], limits(size=1), kept) == {}


def test_near_is_close_in_time_or_in_place_on_one_drive() -> None:
    apart = limits(apart_s=1.0, apart_m=5.0)
    here = context("a", "d1", 0.0, 0.0)
    assert are_near_duplicates(here, context("b", "d1", 0.9, 100.0), apart)
    assert are_near_duplicates(here, context("b", "d1", 60.0, 4.0), apart)
    assert not are_near_duplicates(here, context("b", "d1", 60.0, 6.0), apart)
    assert not are_near_duplicates(here, context("b", "d2", 0.0, 0.0), apart)


def test_without_a_mode_or_a_frame_nothing_is_dealt() -> None:
    assert allocated([]) == {}
    assert allocated([group("n")]) == {}


def test_what_is_dealt_stays_dealt_and_a_larger_budget_admits_the_next_best() -> None:
    allocator = allocator_of([group("m", a=1, b=2)])
    assert frames_of(allocator, limits(budget=1)) == {"m": ["b"]}
    allocator.add_candidates(("0",), [candidate(context("c"), 9)])
    assert frames_of(allocator, limits(budget=1)) == {}
    assert frames_of(allocator, limits(budget=3)) == {"m": ["c", "a"]}


def test_rounds_go_on_where_they_were() -> None:
    allocator = allocator_of([group("m", a=9, b=8, c=7), group("n", d=1)])
    assert frames_of(allocator, limits(budget=1)) == {"m": ["a"]}
    assert frames_of(allocator, limits(budget=2)) == {"n": ["d"]}
    assert frames_of(allocator, limits(budget=3)) == {"m": ["b"]}


def test_a_needle_more_opens_another_shortlist() -> None:
    allocator = allocator_of([group("m", a=3, b=2)])
    assert frames_of(allocator, limits(size=1)) == {"m": ["a"]}
    allocator.add_needle(("0",), NeedleId("n"), FAMILY)
    assert frames_of(allocator, limits(size=1)) == {"n": ["b"]}


def test_what_is_taken_back_is_dealt_again_while_it_is_a_candidate() -> None:
    allocator = allocator_of([group("m", a=1, b=2)])
    frames_of(allocator, limits(size=2))
    for frame in ("a", "b"):
        assert allocator.release(FrameId(frame)) == "m"
        assert allocator.owner(FrameId(frame)) is None
    allocator.remove_candidates(("0",), [FrameId("a")])
    assert frames_of(allocator, limits(size=2)) == {"m": ["b"]}


def test_what_is_taken_back_frees_its_drive() -> None:
    contexts = [context("a", "d1"), context("b", "d1"), context("c", "d2")]
    allocator = allocator_of([alike("m", contexts, [3, 2, 1])])
    assert frames_of(allocator, limits(per_drive=1)) == {"m": ["a", "c"]}
    allocator.release(FrameId("a"))
    allocator.remove_candidates(("0",), [FrameId("a")])
    assert frames_of(allocator, limits(per_drive=1)) == {"m": ["b"]}


def test_a_corrected_frame_stays_and_is_not_asked_for() -> None:
    allocator = allocator_of([group("m", a=1)])
    assert frames_of(allocator) == {"m": ["a"]}
    assert allocator.listed(("0",)) == {"a": "on-a"}
    allocator.correct(FrameId("a"))
    assert allocator.listed(("0",)) == {}
    assert allocator.owner(FrameId("a")) == "m"


def test_a_needle_that_retires_sets_its_frames_free() -> None:
    allocator = allocator_of([group("m", a=1)])
    frames_of(allocator)
    allocator.remove_needle(NeedleId("m"))
    allocator.add_needle(("0",), NeedleId("n"), FAMILY)
    allocator.add_candidates(("0",), [candidate(context("a"), 1)])
    assert frames_of(allocator) == {"n": ["a"]}


def test_a_needle_of_another_mode_than_before_asks_with_that_one() -> None:
    allocator = allocator_of([group("m", a=1), group("n", b=1)])
    frames_of(allocator, limits(size=1))
    allocator.add_needle(("1",), NeedleId("m"), FAMILY)
    assert allocator.needles(("0",)) == []
    assert allocator.owner(FrameId("a")) is None
    allocator.add_candidates(("1",), [candidate(context("c"), 1)])
    assert allocator.needles(("1",)) == ["n", "m"]
    assert frames_of(allocator, limits(size=1)) == {"m": ["c"]}


def test_what_is_withdrawn_is_not_dealt_until_it_is_offered_again() -> None:
    allocator = allocator_of([group("m", a=3, b=2)])
    allocator.remove_candidates(("0",), [FrameId("a")])
    assert frames_of(allocator) == {"m": ["b"]}
    allocator.add_candidates(("0",), [candidate(context("a"), 1)])
    assert frames_of(allocator) == {"m": ["a"]}


def test_a_mode_whose_candidates_are_all_dropped_is_given_none() -> None:
    allocator = allocator_of([group("m", a=2, b=1)])
    for mode in (("0",), ("unknown",)):
        allocator.remove_all_candidates(mode)
    assert not allocator.allocate(WIDE)


def test_a_region_counts_as_it_was_offered_last() -> None:
    allocator = allocator_of([group("m", a=3, b=2)])
    allocator.add_candidates(("0",), [candidate(context("a"), 1)])
    assert frames_of(allocator) == {"m": ["b", "a"]}


def test_ranks_of_candidates_that_are_gone_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode_queue, "MAX_KEPT_CANDIDATES", 5)
    candidates: dict[RegionId, ScoredCandidate] = {}
    queue = mode_queue.ModeQueue({}, candidates)

    def add_better_ones(numbers: range) -> None:
        for number in numbers:
            seen, region = context(f"f{number:04}"), RegionId(f"r{number:04}")
            queue.add_candidates([ScoredCandidate(region, seen, 1.0 + number, 0.5, FAMILY)])
            queue.keep_best(())

    add_better_ones(range(100))
    assert memory_kept_by(lambda: add_better_ones(range(100, 1100))) < MEMORY_OF_FEW
    assert sorted(candidates) == [f"r{number:04}" for number in range(1095, 1100)]


def test_ranks_of_candidates_that_were_replaced_do_not_pile_up() -> None:
    queue, seen = mode_queue.ModeQueue({}, {}), context("a")
    for worth in [1.0, *range(50), *([2.0] * 50)]:
        queue.add_candidates([candidate(seen, worth)])
        queue.keep_best(())
        assert len(queue._waiting) <= 2
    assert queue._waiting[0] == queue.rank(candidate(seen, 2.0))


@pytest.mark.parametrize(("undone", "next_frame"), [(False, {"m": ["b"]}), (True, {"n": ["d"]})])
def test_a_frame_is_a_turn_of_its_mode_again_once_its_correction_is_undone(
    undone: bool, next_frame: dict[str, list[str]]
) -> None:
    allocator = allocator_of([group("m", a=4, b=1), group("n", c=3, d=2)])
    assert frames_of(allocator, limits(2)) == {"m": ["a"], "n": ["c"]}
    allocator.correct(FrameId("a"))
    for frame in ["a", "a", "unknown"] if undone else []:
        allocator.uncorrect(FrameId(frame))
    assert allocator.listed(("0",)) == ({"a": "on-a"} if undone else {})
    assert frames_of(allocator, limits(3)) == next_frame

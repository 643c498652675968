"""When so little is new that frames may be listed."""

from dataclasses import replace

from services.domain.shortlists.epochs import (
    WINDOW,
    Epoch,
    Size,
    includes,
    is_settled,
    next_epoch,
    with_release,
)
from tests import samples


def growing(*haystack: int, observed: int = 100) -> list[Size]:
    return [Size(frames, observed) for frames in haystack]


def test_a_detector_without_a_past_is_not_settled() -> None:
    assert not is_settled([])
    assert not is_settled(growing(*[100] * WINDOW))


def test_what_grew_little_within_the_window_is_settled() -> None:
    assert is_settled(growing(100, *[101] * (WINDOW - 1), 105))
    assert not is_settled(growing(100, *[101] * (WINDOW - 1), 106))


def test_examples_count_as_the_haystack_does() -> None:
    sizes = growing(*[100] * WINDOW)
    assert is_settled([*sizes, Size(100, 105)])
    assert not is_settled([*sizes, Size(100, 106)])


def test_a_stream_of_constant_rate_is_settled_after_twenty_windows() -> None:
    sizes = [Size(rate, rate) for rate in range(1, 25 * WINDOW)]
    settled = [is_settled(sizes[max(0, n - WINDOW) : n + 1]) for n in range(len(sizes))]
    assert settled.index(True) in range(20 * WINDOW, 22 * WINDOW)
    assert all(settled[settled.index(True) :])


NAME = "gaze.needles/0"


def following(before: Epoch | None, size: Size, *, offset: int = 99, empty: bool = False) -> Epoch:
    consumed = {} if empty else {NAME: range(offset - 1, offset)}
    return next_epoch(before, samples.DETECTOR, consumed, size, 15, is_empty=empty)


def test_an_epoch_records_the_sizes_of_its_window() -> None:
    epoch = None
    for number in range(2 * WINDOW):
        epoch = following(epoch, Size(number, 0), offset=number)
    assert epoch is not None
    assert epoch.number == 2 * WINDOW
    assert [size.haystack for size in epoch.sizes] == list(range(WINDOW - 1, 2 * WINDOW))


def test_an_epoch_without_events_is_settled_unless_it_is_the_first() -> None:
    assert not following(None, Size(9, 9), empty=True).settled
    first = following(None, Size(9, 9))
    assert not following(first, Size(10, 9), offset=100).settled
    second = following(first, Size(10, 9), empty=True)
    assert second.settled
    assert second.offsets == first.offsets


def consuming(before: Epoch | None, *records: range) -> Epoch:
    for offsets in records:
        before = next_epoch(
            before, samples.DETECTOR, {NAME: offsets}, Size(9, 9), 15, is_empty=False
        )
    assert before is not None
    return before


def test_a_batch_that_is_delivered_again_is_of_the_epochs_that_consumed_it() -> None:
    last = consuming(None, range(5), range(5, 7))
    found = [includes(last, {NAME: offsets}) for offsets in (range(3, 6), range(7), range(6, 8))]
    assert found == [True, True, False]
    assert not includes(last, {})
    assert not includes(last, {NAME: range(7), "another/0": range(1)})


def test_records_that_were_skipped_are_not_consumed_when_they_come_after_later_ones() -> None:
    last = consuming(None, range(3), range(8, 10), range(10, 12))
    assert not includes(last, {NAME: range(3, 8)})
    assert includes(last, {NAME: range(8, 12)})
    again = consuming(last, range(2), range(2, 9))
    assert [again.has_consumed(NAME, offset) for offset in (7, 8, 11, 12)] == [
        *(False, True),
        *(True, False),
    ]


def released(budgets: list[int], share: float, *, settled: frozenset[int]) -> list[int]:
    """How many frames may be listed in each epoch, from the first."""
    found, before = [], None
    for number, budget in enumerate(budgets, start=1):
        epoch = replace(samples.epoch(number), budget=budget, settled=number in settled)
        epoch = replace(epoch, released=0, settled_budget=0)
        before = with_release(epoch, before, share)
        found.append(before.released)
    return found


def test_a_share_of_the_budget_is_released_once_a_window_while_much_is_new() -> None:
    found = released(list(range(1, 3 * WINDOW)), 0.1, settled=frozenset())
    assert found == [0] * (WINDOW - 1) + [3] * WINDOW + [6] * WINDOW


def test_the_whole_budget_is_released_once_growth_is_slow() -> None:
    found = released(list(range(1, WINDOW)), 0.1, settled=frozenset({5, 7}))
    assert found[:7] == [0, 0, 0, 0, 5, 5, 7]


def test_after_slow_growth_a_share_of_what_is_added_is_released() -> None:
    budgets = [100] * 5 + [300] * WINDOW
    found = released(budgets, 0.1, settled=frozenset({5}))
    assert found == [0] * 4 + [100] * (WINDOW - 5) + [120] * 6


def test_a_smaller_budget_takes_nothing_back() -> None:
    found = released([100, *[50] * WINDOW], 0.1, settled=frozenset({1}))
    assert set(found) == {100}

"""When so little is new that frames may be listed."""

from dataclasses import replace

from services.domain.shortlists.epochs import WINDOW, Size, is_settled, sizes_with
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


def test_an_epoch_records_the_sizes_of_its_window() -> None:
    sizes = sizes_with(None, Size(0, 0))
    for number in range(1, 2 * WINDOW):
        before = replace(samples.epoch(), sizes=sizes)
        sizes = sizes_with(before, Size(number, 0))
    assert [size.haystack for size in sizes] == list(range(WINDOW - 1, 2 * WINDOW))

"""A soak's judgement: the second half of a run against the first."""

from collections.abc import Sequence

import pytest

from benchmarks.soak import Line, growth


def lines(memory_of_second_half: float = 10.0, files: int = 90) -> list[dict[str, float]]:
    """Ten windows of 1,000 frames: 10 MB of memory each, the last five as given."""
    memory, found = 500.0, []
    for number in range(1, 11):
        memory += 10.0 if number <= 5 else memory_of_second_half
        found.append(
            {
                "frames": 1000 * number,
                "services_mb": memory,
                "disk_mb": 300.0 + 15 * number,
                "open_files": files if number > 5 else 90,
                "times_drawing": 30.0 if number == 1 else 11.0,
            }
        )
    return found


def flat(found: Sequence[Line]) -> set[str]:
    return {name for name, item in growth(found).items() if item.is_flat}


EVERY = {"services_mb", "disk_mb", "open_files", "times_drawing"}


def test_what_grows_alike_in_both_halves_is_flat() -> None:
    assert flat(lines()) == EVERY


@pytest.mark.parametrize(
    ("changed", "name"),
    [(lines(memory_of_second_half=20), "services_mb"), (lines(files=200), "open_files")],
)
def test_what_grows_faster_in_the_second_half_is_not(changed: Sequence[Line], name: str) -> None:
    assert flat(changed) == EVERY - {name}


def test_a_step_of_an_allocator_is_no_growth() -> None:
    settled = [line | {"services_mb": 500.0} for line in lines()]
    settled[-1] = settled[-1] | {"services_mb": 505.0}
    assert "services_mb" in flat(settled)

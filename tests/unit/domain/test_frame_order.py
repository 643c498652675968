"""Frames keep their order by id, in whatever order and however many at a time they come."""

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest

from services.contracts.identity import FrameId
from services.domain.metrics.frame_order import FrameOrder

SEEN = 2000
"""Enough that some new ones are placed one by one."""


def ids(*numbers: int) -> list[FrameId]:
    return [FrameId(f"{number:09d}") for number in numbers]


def ordered(order: FrameOrder) -> list[FrameId]:
    """All frames by rank, of which no two share one."""
    assert len(set(order.ranks.tolist())) == len(order)
    return [order.frame_ids()[number] for number in np.argsort(order.ranks)]


def shuffled(count: int, *, seed: int = 0) -> list[int]:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return numbers


@pytest.mark.parametrize(
    "numbers",
    [
        range(SEEN, 2 * SEEN),
        range(99 * SEEN, 98 * SEEN, -1),
        shuffled(3 * SEEN),
        # Ever closer to a frame, from either side: there is no room for ever.
        [1_000_000 + 1_000_000 // step for step in range(1, 900)],
        [999_999 - 1_000_000 // step for step in range(2, 900)],
        # So many into one place that runs divide, and ranks around it must be spread.
        range(50 * SEEN, 48 * SEEN, -1),
        range(50 * SEEN, 52 * SEEN),
    ],
    ids=[
        "one behind the other",
        "one before the other",
        "anywhere",
        "closer from behind",
        "closer from before",
        "backwards into one place",
        "forwards into one place",
    ],
)
def test_new_frames_take_their_place_among_those_seen(numbers: Sequence[int]) -> None:
    order = FrameOrder()
    seen = ids(*range(SEEN), 100 * SEEN, 1_000_000)
    order.numbers(seen)
    new = ids(*numbers)
    for frame_id in new:
        order.numbers([frame_id])
    assert ordered(order) == sorted({*seen, *new})


def test_two_frames_never_change_their_order() -> None:
    order, rng = FrameOrder(), random.Random(1)
    for count in (1, 700, 1, 2, 1, 1500, 3, *itertools.repeat(1, 300)):
        before = order.ranks.copy()
        order.numbers(ids(*(rng.randrange(10**9) for _ in range(count))))
        assert (np.argsort(order.ranks[: before.size]) == np.argsort(before)).all()

import numpy as np
import pytest

from services.domain.statistics.calibration import Calibration, calibration


def test_a_bin_counts_by_how_far_it_is_off_and_how_many_are_in_it() -> None:
    # .2: one in four came true, off by .05; .95: both did, off by .05.
    found = calibration([0.2] * 4 + [0.95] * 2, [True, False, False, False, True, True])

    assert found is not None
    assert (found.error, found.predicted, found.came_true) == pytest.approx((0.05, 2.7 / 6, 0.5))


def test_overconfidence_is_its_excess() -> None:
    found = calibration([0.9] * 10, [True] * 4 + [False] * 6)

    assert found is not None
    assert found.error == pytest.approx(0.5)
    assert found.count == 10


def test_certainty_is_in_the_last_bin_and_nothing_says_nothing() -> None:
    assert calibration([1.0], [True]) == Calibration(0.0, 0.0, 1.0, 1.0, 1)
    assert calibration([], []) is None


def test_right_probabilities_are_seldom_further_off_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(100):
        stated = rng.uniform(0.3, 1.0, 30)
        found = calibration(stated.tolist(), (rng.random(30) < stated).tolist())
        assert found is not None
        below += found.error <= found.by_chance
    assert 88 <= below <= 99
    few, many = (calibration([0.5] * n, [True, False] * (n // 2)) for n in (10, 1000))
    assert few is not None
    assert many is not None
    assert few.by_chance > 5 * many.by_chance


def test_the_order_of_the_pairs_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    stated = rng.uniform(0.3, 1.0, 40)
    pairs = list(zip(stated.tolist(), (rng.random(40) < stated).tolist(), strict=True))
    found = []
    for _ in range(3):
        rng.shuffle(pairs)
        found.append(calibration(*map(list, zip(*pairs, strict=True))))
    assert found[0] == found[1] == found[2]

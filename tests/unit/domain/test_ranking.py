import numpy as np
import pytest

from services.domain.arrays import Vectors
from services.domain.mining.ranking import true_positive_similarity


def unit(*rows: tuple[float, ...]) -> Vectors:
    vectors = np.array(rows, dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_a_region_resembles_the_true_positives_nearest_to_it() -> None:
    rights = unit((1, 0), (0, 1), (-1, 0))
    alike = true_positive_similarity(unit((1, 0)), rights, neighbours=2)
    assert alike == pytest.approx([0.5])


def test_fewer_true_positives_than_neighbours_are_all_used() -> None:
    assert true_positive_similarity(unit((1, 0)), unit((1, 0))) == pytest.approx([1.0])


def test_without_true_positives_nothing_resembles_them() -> None:
    alike = true_positive_similarity(unit((1, 0)), np.empty((0, 0), np.float32))
    assert alike == pytest.approx([0.0])

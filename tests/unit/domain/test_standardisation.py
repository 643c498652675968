import numpy as np
import pytest

from services.domain.statistics.standardisation import Standardisation


def test_features_have_mean_0_and_deviation_1_on_the_rows() -> None:
    rows = np.random.default_rng(0).normal([5.0, -2.0], [3.0, 0.1], (50, 2))
    standardised = Standardisation.of(rows).applied(rows)
    assert standardised.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert standardised.std(axis=0) == pytest.approx([1, 1])


def test_other_rows_are_standardised_like_those() -> None:
    rows = np.array([[1.0], [5.0]])
    assert Standardisation.of(rows).applied(np.array([[3.0], [7.0]])).tolist() == [[0.0], [2.0]]


def test_a_feature_that_hardly_differs_is_only_centred() -> None:
    rows = np.array([[1.0], [1.001]])
    (found,) = Standardisation.of(rows).applied(np.array([[2.0]]))
    assert found == pytest.approx([0.9995])

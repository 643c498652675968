import numpy as np
import pytest

from services.domain.mining.logistic import fit


def test_without_features_the_classes_shares_are_learnt() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    model = fit(np.zeros((10, 1)), labels, 3, ridge=1.0)
    assert model.probabilities(np.zeros((1, 1)))[0] == pytest.approx([0.6, 0.3, 0.1], abs=1e-4)


def test_a_yes_or_no_feature_learns_the_log_odds_ratio() -> None:
    # Of those without it 1 in 4 is of class 1, of those with it 3 in 4: a ratio of 9.
    features = np.array([[0.0]] * 40 + [[1.0]] * 40)
    labels = np.array([1] * 10 + [0] * 30 + [1] * 30 + [0] * 10)
    model = fit(features, labels, 2, ridge=1e-6)
    assert model.weights[0, 1] - model.weights[0, 0] == pytest.approx(np.log(9), abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_no_step_from_the_solution_goes_downhill(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels, ridge = rng.normal(size=(60, 5)), rng.integers(0, 4, 60), 3.0
    model = fit(features, labels, 4, ridge=ridge)
    residual = model.probabilities(features) - np.eye(4)[labels]
    assert features.T @ residual + ridge * model.weights == pytest.approx(0, abs=1e-4)
    assert residual.sum(axis=0) == pytest.approx(0, abs=1e-2)


def test_the_order_of_the_examples_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(80, 6)), rng.integers(0, 3, 80)
    shuffled = rng.permutation(80)
    one = fit(features, labels, 3, ridge=1.0).probabilities(features)
    other = fit(features[shuffled], labels[shuffled], 3, ridge=1.0).probabilities(features)
    assert one == pytest.approx(other, abs=1e-5)


def test_classes_that_a_line_parts_are_told_apart_and_stay_finite() -> None:
    features = np.concatenate([np.full((5, 2), -1.0), np.full((5, 2), 1.0)]) * 1e3
    labels = np.array([0] * 5 + [1] * 5)
    probable = fit(features, labels, 2, ridge=1.0).probabilities(features)
    assert np.isfinite(probable).all()
    assert (probable.argmax(axis=1) == labels).all()

import numpy as np
import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import Category
from services.domain.arrays import Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples, FailureModel, Method

BACKGROUND = FailureMode(ErrorType.BACKGROUND)
DUPLICATE = FailureMode(ErrorType.DUPLICATE)
AXES = np.eye(3, dtype=np.float32)


def around(axis: int, count: int, seed: int = 0) -> Vectors:
    noise = np.random.default_rng([seed, axis]).normal(0, 0.1, (count, 3))
    rows = AXES[axis] + noise
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def learnt(rights: int, *wrongs: tuple[FailureMode, int]) -> FailureModel:
    """Right regions lie around the first axis, the modes around the following ones."""
    parts = [around(0, rights)] + [around(n, count) for n, (_, count) in enumerate(wrongs, 1)]
    modes = [None] * rights + [mode for mode, count in wrongs for _ in range(count)]
    vectors = np.concatenate(parts)
    return FailureModel.fit(Examples(vectors, np.zeros((len(modes), 2)), modes))


def nothing(count: int) -> np.ndarray:
    return np.zeros((count, 2))


def test_enough_of_each_teaches_to_tell_the_modes_apart() -> None:
    model = learnt(20, (BACKGROUND, 20), (DUPLICATE, 20))
    assert model.method(BACKGROUND) is Method.LOGISTIC
    for axis, mode in ((1, BACKGROUND), (2, DUPLICATE)):
        evidence = model.evidence(mode, AXES[[axis]], AXES, nothing(3))
        assert evidence.argmax() == axis
        assert evidence[axis] > 0.6
    assert model.wrong(AXES, nothing(3))[0] < 0.3


def test_probabilities_of_right_and_of_all_modes_make_one() -> None:
    model = learnt(20, (BACKGROUND, 20), (DUPLICATE, 20))
    modes = (BACKGROUND, DUPLICATE)
    parts = [model.evidence(mode, AXES[:1], AXES, nothing(3)) for mode in modes]
    assert np.sum(parts, axis=0) == pytest.approx(model.wrong(AXES, nothing(3)))


def test_a_mode_with_one_example_falls_back_to_contrast() -> None:
    model = learnt(20, (BACKGROUND, 20), (DUPLICATE, 1))
    assert model.method(DUPLICATE) is Method.CONTRAST
    evidence = model.evidence(DUPLICATE, AXES[[2]], AXES, nothing(3))
    assert evidence[2] > evidence[1] > 0


def test_few_examples_fall_back_to_contrast_with_the_right_ones() -> None:
    model = learnt(2, (BACKGROUND, 2))
    assert model.method(BACKGROUND) is Method.CONTRAST
    between = np.array([[0.7, 0.714, 0.0], [0.0, 0.714, 0.7]], np.float32)
    evidence = model.evidence(BACKGROUND, AXES[[1]], between, nothing(2))
    assert evidence[1] > evidence[0]  # as near to the needle, farther from what is right


def test_without_right_ones_similarity_is_all_there_is() -> None:
    model = learnt(0, (BACKGROUND, 2))
    assert model.method(BACKGROUND) is Method.SIMILARITY
    evidence = model.evidence(BACKGROUND, AXES[[1]], AXES, nothing(3))
    assert evidence.argmax() == 1


def test_without_any_example_half_of_all_may_be_wrong() -> None:
    model = FailureModel.fit(Examples(np.empty((0, 3), np.float32), np.empty((0, 2)), []))
    assert model.wrong(AXES, nothing(3)) == pytest.approx(0.5)


def test_the_search_goes_where_the_mode_is_and_right_ones_are_not() -> None:
    model = learnt(20, (BACKGROUND, 20), (DUPLICATE, 20))
    toward_background, toward_duplicate = model.directions(
        {BACKGROUND: AXES[:1], DUPLICATE: AXES[:1]}
    )
    assert (AXES @ toward_background).argmax() == 1
    assert (AXES @ toward_duplicate).argmax() == 2
    assert (AXES @ toward_background).argmin() == 0


def test_what_is_not_learnt_is_searched_for_by_the_needles_themselves() -> None:
    needles = AXES[[1, 2]]
    assert learnt(0, (BACKGROUND, 2)).directions({BACKGROUND: needles}) == pytest.approx(needles)


def test_beside_learnt_modes_only_the_others_are_searched_for_by_their_needles() -> None:
    model = learnt(20, (BACKGROUND, 20))
    directions = model.directions({BACKGROUND: AXES[[1] * 9], DUPLICATE: AXES[[2]]})
    assert len(directions) == 2
    assert directions[1] == pytest.approx(AXES[2])


def test_only_an_error_of_class_says_what_it_truly_is() -> None:
    car = Category("car")
    assert FailureMode.of(ErrorType.CLASSIFICATION, car) == FailureMode(
        ErrorType.CLASSIFICATION, car
    )
    assert FailureMode.of(ErrorType.BOTH, car) == FailureMode(ErrorType.BOTH)


def test_a_digest_of_examples_is_the_same_in_every_version() -> None:
    """Stored models have it in their ids."""
    vectors, features = np.eye(3, dtype=np.float32), np.arange(6.0).reshape(3, 2)
    modes = [None, BACKGROUND, FailureMode(ErrorType.CLASSIFICATION, Category("truck"))]
    assert Examples(vectors, features, modes).digest() == "43329ff68964cedb"

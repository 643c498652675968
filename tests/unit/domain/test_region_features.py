import numpy as np
import pytest

from services.domain.coco import FloatArray
from services.domain.region_features import FEATURES, Shown, region_features


def features_of(
    boxes: list[tuple[float, float, float, float]],
    scores: list[float],
    categories: list[int] | None = None,
) -> FloatArray:
    shown = Shown(
        np.array(boxes, float).reshape(-1, 4),
        np.array(scores),
        np.array(categories or [0] * len(boxes), np.int64),
        200,
        100,
    )
    return region_features(shown)


def test_there_is_a_row_per_detection_and_none_of_none() -> None:
    assert features_of([(0, 0, 10, 10)] * 3, [0.5] * 3).shape == (3, FEATURES)
    assert features_of([], []).shape == (0, FEATURES)


def test_a_lone_detection_has_nothing_beside_it() -> None:
    (row,) = features_of([(90, 45, 20, 10)], [0.5])
    assert row[:6] == pytest.approx([0, 0.5, 0.5, np.log(0.1), np.log(0.1), np.log(2)])
    assert row[9:20] == pytest.approx(0)


def test_a_second_box_sees_the_surer_one_above_it_and_not_the_reverse() -> None:
    first, second = features_of([(0, 0, 20, 20), (0, 0, 20, 10)], [0.9, 0.6])
    assert second[9:13] == pytest.approx([0.5, 1.0, 0.5, 0.45])
    assert first[9:13] == pytest.approx(0)
    assert first[13:16] == pytest.approx([0.5, 0.3, 0.6])


def test_rivals_are_of_another_category_and_weighed_by_their_score() -> None:
    first, _ = features_of([(0, 0, 20, 20), (0, 0, 20, 10)], [0.9, 0.6], [0, 1])
    assert first[16:19] == pytest.approx([0.5, 0.3, 0.3])
    assert first[9:16] == pytest.approx(0)


def test_a_detection_that_nobody_would_look_at_says_nothing() -> None:
    alone, _ = features_of([(0, 0, 20, 20), (0, 0, 20, 20)], [0.9, 0.01])
    assert alone[9:20] == pytest.approx(0)


def test_scores_at_the_ends_stay_finite() -> None:
    assert np.isfinite(features_of([(0, 0, 9, 9), (20, 0, 9, 9)], [0.0, 1.0])).all()

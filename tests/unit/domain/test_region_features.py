import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.domain.arrays import FloatArray
from services.domain.detection.boxes import iou_matrix
from services.domain.mining.region_features import COMPANION_SCORE, FEATURES, Shown, region_features


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


def pairwise_features(shown: Shown) -> FloatArray:
    """The columns of pairs by matrices of all pairs: quadratic, and what stored models learnt."""
    scores, count = shown.scores, len(shown.scores)
    no_crowd, crowd = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    overlap = iou_matrix(shown.boxes, shown.boxes, no_crowd)
    inside = iou_matrix(shown.boxes, shown.boxes, crowd)
    counts = (scores >= COMPANION_SCORE)[None, :] & ~np.eye(count, dtype=np.bool_)
    same = shown.categories[:, None] == shown.categories[None, :]
    place = np.empty(count, np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(count)
    higher = place[None, :] < place[:, None]
    above, below, rivals = same & higher & counts, same & ~higher & counts, ~same & counts
    weighted = overlap * scores[None, :]

    def most(values: FloatArray, of: NDArray[np.bool_]) -> FloatArray:
        return np.asarray(np.where(of, values, 0.0).max(axis=1))

    return np.column_stack(
        [
            most(overlap, above),
            most(inside, above),
            most(inside.T, above),
            most(weighted, above),
            most(overlap, below),
            most(weighted, below),
            most(inside.T * scores[None, :], below),
            most(overlap, rivals),
            most(weighted, rivals),
            most(inside * scores[None, :], rivals),
            np.log1p((overlap * (same & counts)).sum(axis=1)),
        ]
    )


@st.composite
def frames(draw: st.DrawFn) -> Shown:
    """Frames whose boxes crowd together, with ties, repeats and every length of a sum."""
    count = draw(st.sampled_from([1, 2, 7, 8, 9, 60, 127, 128, 129, 137, 255, 257, 300, 520]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    extent = draw(st.sampled_from([1.0, 30.0, 2000.0]))
    corners = rng.uniform(-5, extent, (count, 2))
    sizes = rng.uniform(0.01, draw(st.sampled_from([3.0, 40.0, 4000.0])), (count, 2))
    boxes = np.column_stack([corners, sizes])
    if draw(st.booleans()):
        boxes = np.ceil(boxes)  # edges that touch, equal boxes
    scores = rng.uniform(0, 1, count)
    if draw(st.booleans()):
        scores = np.round(scores, 1)
    categories = rng.integers(0, draw(st.integers(1, 4)), count)
    return Shown(boxes, scores, categories, 1920, 1080)


@given(frames())
@settings(max_examples=200)
def test_pairs_found_by_a_sweep_equal_those_of_all_pairs_bit_by_bit(shown: Shown) -> None:
    swept = region_features(shown)[:, 9:20]
    assert swept.tobytes() == np.ascontiguousarray(pairwise_features(shown)).tobytes()


def test_ten_thousand_detections_take_memory_that_grows_with_them() -> None:
    rng = np.random.default_rng(0)
    count = 10_000
    boxes = np.column_stack([rng.uniform(0, 50, (count, 2)), rng.uniform(20, 60, (count, 2))])
    shown = Shown(boxes, rng.uniform(0, 1, count), np.zeros(count, np.int64), 100, 100)
    region_features(Shown(boxes[:2], shown.scores[:2], shown.categories[:2], 100, 100))  # compiles
    tracemalloc.start()
    try:
        region_features(shown)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000  # bytes; all pairs took 5 GB

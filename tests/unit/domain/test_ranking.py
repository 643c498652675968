import numpy as np
import pytest

from services.domain.ranking import Place, Vectors, evidence, thinned, true_positive_similarity


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


def test_what_looks_like_true_objects_is_less_suspect_than_what_does_not() -> None:
    similarities, scores = np.array([0.9, 0.9]), np.array([0.7, 0.7])
    right_like, other = evidence(similarities, np.array([0.9, 0.1]), scores, score_weight=0.5)
    assert other > right_like


def test_a_low_score_is_evidence_where_vectors_say_the_same() -> None:
    same = np.array([0.5, 0.5])
    low, high = evidence(same, same, np.array([0.55, 0.95]), score_weight=0.5)
    assert low > high


def test_equal_candidates_have_equal_evidence() -> None:
    same = np.array([0.5, 0.5, 0.5])
    assert evidence(same, same, same, score_weight=1.0).tolist() == [0.0, 0.0, 0.0]


def test_thinning_keeps_one_region_per_frame_and_few_frames_per_drive() -> None:
    places = [
        Place("a", "d1"),
        Place("a", "d1"),
        Place("b", "d1"),
        Place("c", "d1"),
        Place("d", "d2"),
        Place("e", "d2"),
    ]
    assert thinned(places, limit=3, per_drive=2) == [0, 2, 4]


def test_frames_without_a_drive_are_not_capped() -> None:
    places = [Place(name, None) for name in "abc"]
    assert thinned(places, limit=10, per_drive=1) == [0, 1, 2]

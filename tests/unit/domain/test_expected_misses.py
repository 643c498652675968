"""What a frame's detections say of the objects that were missed, and the model that learns it."""

import numpy as np
import pytest

from benchmarks.detected_frames import DetectedFrames, sums_of
from services.contracts.identity import DriveId
from services.domain.arrays import FloatArray
from services.domain.missed.evidence import evidence
from services.domain.missed.expected import MissModel

SIGN, LIGHT = 0, 1
SMALL, LARGE = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 500.0, 500.0)
OPERATING = 0.5


def frames(
    *found: tuple[int, int, float, tuple[float, float, float, float]],
    count: int = 1,
    drives: list[str] | None = None,
    seconds: list[float] | None = None,
) -> DetectedFrames:
    """Frames of a million pixels; a detection is its frame, category, score and box."""
    rows = np.array([(f, c, score, *box) for f, c, score, box in found]).reshape(-1, 7)
    return DetectedFrames(
        frame=rows[:, 0].astype(np.int64),
        category=rows[:, 1].astype(np.int64),
        scores=rows[:, 2],
        boxes=rows[:, 3:],
        areas=np.full(count, 1e6),
        drives=[DriveId(name) for name in drives] if drives else [None] * count,
        seconds=np.array(seconds or [0.0] * count),
        categories=2,
    )


def test_unsure_and_small_detections_are_evidence_in_their_category_and_in_all() -> None:
    one = evidence(sums_of(frames((0, SIGN, 0.2, SMALL), (0, LIGHT, 0.5, LARGE)), OPERATING))
    assert one[0, SIGN] == pytest.approx([*np.log1p([0.16, 0.2, 0.16 + 0.25, 0.2]), 0, 0])
    assert one[0, LIGHT] == pytest.approx([*np.log1p([0.25, 0.0, 0.16 + 0.25, 0.2]), 0, 0])


def test_detections_of_almost_no_score_are_no_evidence() -> None:
    faint = frames((0, SIGN, 0.04, SMALL))
    assert not evidence(sums_of(faint, OPERATING)).any()


def test_a_frame_without_detections_has_no_evidence() -> None:
    assert not evidence(sums_of(frames(count=3), OPERATING)).any()


def test_what_neighbours_on_the_drive_show_is_compared_with_what_is_shown_now() -> None:
    shown = [(n, SIGN, 0.9, LARGE) for n in (0, 1, 1, 3)]
    drive = frames(*shown, count=4, drives=["a", "a", "a", "b"], seconds=[0, 1, 2, 1])
    changes = evidence(sums_of(drive, OPERATING))[:, SIGN, 4:]
    after = [np.log1p(1.0) - np.log1p(1), np.log1p(0) - np.log1p(2), 0, 0]
    before = [0, np.log1p(1) - np.log1p(2), np.log1p(1.5), 0]
    assert changes == pytest.approx(np.column_stack([after, before]))


def test_neighbours_are_at_most_three_seconds_away_in_any_order() -> None:
    shown = [(0, SIGN, 0.9, LARGE), (2, SIGN, 0.9, LARGE)]
    drive = frames(*shown, count=3, drives=["a"] * 3, seconds=[9.0, 5.0, 2.0])
    assert evidence(sums_of(drive, OPERATING))[1, SIGN, 4:] == pytest.approx([0, np.log1p(1)])


def drawn(seed: int, count: int = 4000) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 2, 2))
    rates = np.exp(0.5 * features[:, :, 0] - 1.0 + np.array([0.0, 0.7]))
    return features, rng.poisson(rates).astype(np.float64)


def test_the_model_finds_the_rates_that_counts_were_drawn_from() -> None:
    model = MissModel.fit(*drawn(1))
    features, _ = drawn(2)
    rates = np.exp(0.5 * features[:, :, 0] - 1.0 + np.array([0.0, 0.7]))
    assert model is not None
    expected = model.expected(features)
    assert np.abs(expected / rates - 1).mean() < 0.05
    assert expected.sum(axis=0) == pytest.approx(rates.sum(axis=0), rel=0.05)


def test_expected_numbers_add_up_to_the_misses_of_the_reference() -> None:
    features, missed = drawn(3, 200)
    model = MissModel.fit(features, missed)
    assert model is not None
    # The ridge on intercepts keeps them from fitting each category exactly.
    assert model.expected(features).sum() == pytest.approx(missed.sum(), rel=0.01)


def test_a_category_with_one_miss_is_not_expected_to_have_none_or_many() -> None:
    features, missed = drawn(4, 60)
    missed[:, 1] = 0
    missed[0, 1] = 1
    model = MissModel.fit(features, missed)
    assert model is not None
    assert 0.5 < model.expected(features)[:, 1].sum() < 5


def test_nothing_is_learnt_where_nothing_was_missed() -> None:
    features, missed = drawn(5, 20)
    assert MissModel.fit(features, np.zeros_like(missed)) is None


def test_features_far_from_the_references_are_not_extrapolated() -> None:
    features, missed = drawn(6, 200)
    model = MissModel.fit(features, missed)
    assert model is not None
    far = np.full((1, 2, 2), 1e9)
    assert np.isfinite(model.expected(far)).all()
    assert model.expected(far).max() < 100

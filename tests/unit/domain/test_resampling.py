import tracemalloc

import numpy as np
import pytest
from numpy.random import Generator

from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade
from services.contracts.identity import DetectorId, FrameId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.statistics import resampling
from services.domain.statistics.resampling import Interval, Sample, weighted_mean_ap
from services.domain.statistics.resampling_kernels import weighted_ap
from tests.unit.domain import oracle
from tests.unit.domain.test_match_index import average_precision

ONE, TWO = DetectorId("d@1"), DetectorId("e@1")


def survey(
    rng: Generator, count: int, *, detector: str = "d", slip: float = 12
) -> list[oracle.Frame]:
    """Frames alike in kind: some objects, most of them found more or less well; a few ghosts."""
    frames = []
    for number in range(count):
        truths, found = [], []
        for _ in range(rng.integers(1, 6)):
            category = oracle.CATEGORIES[rng.integers(0, 3)]
            x, y = rng.random(2) * 500
            truths.append(Annotation(category=category, bbox=(x, y, 60, 60)))
            ghost = rng.random() < 0.3
            dx, dy = (rng.random(2) * 400 + 100) if ghost else rng.normal(0, slip, 2)
            score = float(rng.beta(2, 3) if ghost else rng.beta(3, 2))
            found.append(Detection(category=category, score=score, bbox=(x + dx, y + dy, 60, 60)))
        frame_id = FrameId(f"{number:06d}")
        predictions = PredictionsMade(
            frame_id=frame_id, detector=detector, version="1", detections=tuple(found)
        )
        frames.append(
            oracle.Frame(predictions, FrameAnnotated(frame_id=frame_id, annotations=tuple(truths)))
        )
    return frames


def state_of(*surveys: list[oracle.Frame]) -> MatchState:
    state = MatchState(OperatingScores(0.5))
    for frames in surveys:
        state.add(match for frame in frames for match in oracle.matched(frame))
    return state


def renamed(frame: oracle.Frame, name: str) -> oracle.Frame:
    update = {"frame_id": FrameId(name)}
    return oracle.Frame(
        frame.predictions.model_copy(update=update), frame.truth.model_copy(update=update)
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_weighted_frame_counts_as_often_as_its_weight_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = survey(rng, 12)
    state = state_of(frames)
    weights = rng.integers(0, 4, 12)
    copies = [
        renamed(frame, f"{frame.frame_id}-{copy}")
        for frame, weight in zip(frames, weights, strict=True)
        for copy in range(weight)
    ]
    samples = list(state.snapshot().samples.values())
    # Frames are numbered in the order in which they came.
    by_number = weights[[any(oracle.matched(frame)) for frame in frames]]
    expected = twelve(state_of(copies).of(ONE, Subset.ALL).values())["AP"]
    assert weighted_mean_ap(samples, by_number) == pytest.approx(expected, abs=1e-9)


def test_a_category_without_objects_on_the_frames_that_count_is_left_out_of_map() -> None:
    samples = state_of(survey(np.random.default_rng(0), 30)).snapshot().samples
    first, *others = samples.values()
    weights = np.ones(30, np.int64)
    weights[first.match_frame[first.truths > 0]] = 0
    found = weighted_mean_ap(others, weights)
    assert 0 < found < 1
    assert weighted_mean_ap([first, *others], weights) == found
    assert np.isnan(weighted_mean_ap([first], weights))


def test_the_value_is_the_map_itself() -> None:
    state = state_of(survey(np.random.default_rng(0), 30))
    interval = state.snapshot().interval(ONE, Subset.ALL)
    assert interval is not None
    expected = twelve(state.of(ONE, Subset.ALL).values())["AP"]
    assert interval.value == pytest.approx(expected, abs=1e-9)
    assert interval.low < interval.value < interval.high


@pytest.mark.parametrize("seed", range(5))
def test_each_threshold_leaves_out_what_it_ignores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 10, 60).astype(np.int32)
    counted = rng.integers(0, 1 << 10, 60).astype(np.uint16)
    positive = counted & rng.integers(0, 1 << 10, 60).astype(np.uint16)
    weights = rng.integers(0, 4, 10)
    copies = np.repeat(np.arange(60), weights[frame])
    expected = [
        average_precision((positive[copies] >> t & 1)[counted[copies] >> t & 1 > 0], 90)
        for t in range(10)
    ]
    found = weighted_ap(90, frame, positive, counted, weights)
    assert found == pytest.approx(np.mean(expected), abs=1e-12)


def test_without_frames_there_is_no_interval() -> None:
    assert state_of().snapshot().interval(ONE, Subset.ALL) is None
    assert state_of(survey(np.random.default_rng(0), 3)).snapshot().interval(ONE, Subset.R) is None


def test_the_first_order_agrees_with_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(survey(np.random.default_rng(1), 400))
    resampled = state.snapshot().interval(ONE, Subset.ALL)
    monkeypatch.setattr(resampling, "EXACT_UP_TO", 0)
    first_order = state.snapshot().interval(ONE, Subset.ALL)
    assert resampled is not None
    assert first_order is not None
    assert first_order != resampled
    assert width(first_order) == pytest.approx(width(resampled), rel=0.15)


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize("exact", [True, False])
def test_the_interval_holds_the_true_map_about_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    monkeypatch.setattr(resampling, "EXACT_UP_TO", 10**12 if exact else 0)
    monkeypatch.setattr(resampling, "REPLICATES", 80)
    rng = np.random.default_rng(2)
    truth = twelve(state_of(survey(rng, 2500)).of(ONE, Subset.ALL).values())["AP"]
    assert truth is not None
    found = [state_of(survey(rng, 100)).snapshot().interval(ONE, Subset.ALL) for _ in range(30)]
    held = sum(
        interval is not None and interval.low <= truth <= interval.high for interval in found
    )
    assert held >= 25  # below that with a chance of 0.3% if each holds with 95%


@pytest.mark.parametrize("exact", [True, False])
def test_a_paired_difference_is_surer_than_two_intervals(
    monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    monkeypatch.setattr(resampling, "EXACT_UP_TO", 10**12 if exact else 0)
    one = survey(np.random.default_rng(3), 200)
    two = survey(np.random.default_rng(3), 200, detector="e", slip=16)
    state = state_of(one, two)
    apart = [state.snapshot().interval(d, Subset.ALL) for d in (ONE, TWO)]
    interval = state.snapshot().difference(ONE, TWO, Subset.ALL)
    assert interval is not None
    assert apart[0] is not None
    assert apart[1] is not None
    assert interval.value == pytest.approx(apart[0].value - apart[1].value, abs=1e-9)
    assert interval.low > 0
    assert width(interval) < np.hypot(width(apart[0]), width(apart[1]))


def test_a_difference_is_of_the_frames_that_both_looked_at() -> None:
    one = survey(np.random.default_rng(4), 40)
    same = [
        oracle.Frame(f.predictions.model_copy(update={"detector": "e"}), f.truth) for f in one[:20]
    ]
    found = state_of(one, same).snapshot().difference(ONE, TWO, Subset.ALL)
    assert found == Interval(0.0, 0.0, 0.0)


def test_frames_without_detections_take_no_memory_per_draw() -> None:
    frames = np.arange(5000, dtype=np.int32)
    nothing = np.zeros(0, np.int32)
    none = nothing.astype(np.uint16)
    sample = Sample(
        *(frames, np.zeros(frames.size, np.uint8), np.ones(frames.size, np.int64)),
        *(nothing, nothing.astype(np.uint8), none, none, nothing.astype(np.float32)),
    )
    assert resampling.interval([sample], frames.size) == Interval(0.0, 0.0, 0.0)  # compiled
    tracemalloc.start()
    try:
        resampling.interval([sample], frames.size)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # the weights of all draws take 16 MB

from dataclasses import replace

import numpy as np
import pytest

from services.contracts.identity import DetectorId, frame_hash
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics import drift as subject
from services.domain.metrics.drift import Drift, DriftMeasure
from services.domain.metrics.match_state import MatchState
from tests.unit.domain import oracle
from tests.unit.domain.test_resampling import renamed, survey

DETECTOR = DetectorId("d@1")


def fleet(seed: int, vehicles: int = 4, frames: int = 60) -> dict[str, list[oracle.Frame]]:
    """Vehicles that see the same kind of street."""
    rng = np.random.default_rng(seed)
    return {
        f"v{k}": [renamed(f, f"v{k}-{f.frame_id}") for f in survey(rng, frames)]
        for k in range(vehicles)
    }


def drifts(taken: dict[str, list[oracle.Frame]]) -> list[Drift]:
    state = MatchState(OperatingScores(0.5))
    for vehicle, frames in taken.items():
        state.add(m for f in frames for m in oracle.matched(f, vehicle=vehicle))
    return state.snapshot().drift(DETECTOR)


def test_forgotten_frames_leave_no_trace() -> None:
    taken = fleet(6, vehicles=2)
    taken["v0"] = [changed(frame, score=0.95) for frame in taken["v0"]]
    state = MatchState(OperatingScores(0.5))
    for vehicle, frames in taken.items():
        state.add(m for f in frames for m in oracle.matched(f, vehicle=vehicle))
    assert drifting(taken)

    for kept in (40, 1):  # with one frame left, the vehicle is not tested
        state.forget({frame_hash(f.frame_id) for f in taken["v0"][kept:]})
        remaining = taken | {"v0": taken["v0"][:kept]}
        found, expected = state.snapshot().drift(DETECTOR), drifts(remaining)
        assert [rounded(result) for result in found] == [rounded(result) for result in expected]
    assert found == []


def rounded(result: Drift) -> tuple[object, ...]:
    effect, p_value = f"{result.effect:.9g}", f"{result.p_value:.9g}"
    return result.vehicle, result.measure, effect, p_value, result.drifts


def drifting(taken: dict[str, list[oracle.Frame]]) -> set[tuple[str, DriftMeasure]]:
    return {(drift.vehicle, drift.measure) for drift in drifts(taken) if drift.drifts}


def changed(frame: oracle.Frame, **update: object) -> oracle.Frame:
    detections = tuple(d.model_copy(update=update) for d in frame.predictions.detections)
    return replace(
        frame, predictions=frame.predictions.model_copy(update={"detections": detections})
    )


def test_vehicles_that_see_the_same_do_not_drift() -> None:
    false_alarms = sum(bool(drifting(fleet(seed))) for seed in range(10))
    assert false_alarms <= 3  # more, with a chance of 0.1%, if a fleet has one in 5% of cases


def test_a_vehicle_with_other_scores_drifts_in_scores() -> None:
    taken = fleet(1)
    for k, frame in enumerate(taken["v2"]):
        taken["v2"][k] = changed(frame, score=0.9 + k / 1000)
    found = drifting(taken)
    assert ("v2", DriftMeasure.SCORES) in found
    assert DriftMeasure.CLASSES not in {measure for _, measure in found}


def test_a_vehicle_with_another_mix_of_classes_drifts_in_classes() -> None:
    taken = fleet(2)
    taken["v1"] = [changed(frame, category=oracle.CATEGORIES[0]) for frame in taken["v1"]]
    assert ("v1", DriftMeasure.CLASSES) in drifting(taken)


def test_a_vehicle_whose_boxes_are_off_drifts_in_map() -> None:
    taken = fleet(3)
    rng = np.random.default_rng(3)
    taken["v3"] = [renamed(f, f"v3-{f.frame_id}") for f in survey(rng, 60, slip=30)]
    found = {(str(d.vehicle), d.measure): d for d in drifts(taken)}
    assert found["v3", DriftMeasure.MAP].drifts
    assert found["v3", DriftMeasure.MAP].effect < -0.05
    assert not found["v3", DriftMeasure.CLASSES].drifts


def test_too_few_frames_say_nothing() -> None:
    assert drifts(fleet(4, vehicles=2, frames=subject.MIN_FRAMES - 1)) == []


def test_a_lone_vehicle_has_nobody_to_be_compared_with() -> None:
    assert drifts(fleet(4, vehicles=1)) == []


def test_the_number_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_VEHICLES", 2)
    taken = fleet(5, vehicles=3, frames=40)
    taken["v0"] = taken["v0"][:35]
    assert {drift.vehicle for drift in drifts(taken)} == {"v1", "v2"}


def test_the_p_values_are_those_of_the_tables() -> None:
    # Chi-squared 3.841 at one degree of freedom, and Kolmogorov's 1.358, are the 5% points.
    half = 1000
    ratio = (1 + np.sqrt(3.8415 / (2 * half))) / 2
    first = np.array([round(half * ratio), half - round(half * ratio)])
    _, p = subject._chi_squared(first, first[::-1], (half, half))
    assert p == pytest.approx(0.05, abs=0.01)
    bins = np.full(100, 100)
    moved = bins.copy()
    moved[0] += 304
    moved[-1] -= 304 - 204
    effect, p = subject._kolmogorov_smirnov(bins, moved, (4000, 4000))
    assert p == pytest.approx(2 * np.exp(-2 * (effect * (2000**0.5 + 0.12)) ** 2), rel=0.05)

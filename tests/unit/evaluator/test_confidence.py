"""What is shown beside the figures: recent ones, how sure they are, who differs."""

import asyncio
import threading
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from prometheus_client import Gauge

from services.contracts.identity import Category, DetectorId
from services.contracts.matches import FrameMatched, categories_of
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.drift import DriftMeasure
from services.domain.metrics.match_snapshot import MatchSnapshot
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Sample
from services.evaluator.live import service
from services.evaluator.live.logic import Confidence, confidence
from services.evaluator.live.service import EvaluateMatches
from services.runtime.observability import detector_metrics
from services.runtime.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.matches import InMemoryMatchStore
from tests.samples import published
from tests.unit.domain import oracle
from tests.unit.domain.test_resampling import renamed, survey


def step(clock: FakeClock) -> EvaluateMatches:
    return EvaluateMatches(matches=InMemoryMatchStore(), settings=Settings(), clock=clock)


async def assessed(matches: list[FrameMatched]) -> None:
    evaluator = step(FakeClock())
    await evaluator.run(matches)
    await evaluator.assess()


def read(gauge: Gauge, **labels: str) -> float | None:
    samples = [s for m in gauge.collect() for s in m.samples if labels.items() <= s.labels.items()]
    return samples[0].value if samples else None


def matches_of(frames: list[oracle.Frame], vehicle: str = "v1") -> list[FrameMatched]:
    return published(match for frame in frames for match in oracle.matched(frame, vehicle=vehicle))


async def test_a_window_ends_with_the_last_frame_captured() -> None:
    frames = survey(np.random.default_rng(0), 20)
    hours = [
        replace(f, captured_at=oracle.START + timedelta(hours=k)) for k, f in enumerate(frames)
    ]
    await step(FakeClock()).run(matches_of(hours))
    for window, last in (("1h", 1), ("24h", 20), ("7d", 20)):
        expected = oracle.twelve(oracle.coco_eval(frames[-last:]))["AP"]
        value = read(detector_metrics.MAP_WINDOW, detector="d@1", subset="all", window=window)
        assert value == pytest.approx(expected, abs=1e-9)


async def test_the_windows_of_a_detector_that_is_replaced_pass() -> None:
    clock = FakeClock()
    evaluator, frames = step(clock), survey(np.random.default_rng(0), 20)
    await evaluator.run(matches_of(frames))
    assert read(detector_metrics.MAP_WINDOW, detector="d@1", subset="all", window="1h") is not None

    clock.advance(2 * 3600)
    later = survey(np.random.default_rng(0), 20, detector="e")
    later = [replace(frame, captured_at=clock.now()) for frame in later]
    await evaluator.run(matches_of(later))

    assert read(detector_metrics.MAP_WINDOW, detector="d@1", subset="all", window="1h") is None
    assert read(detector_metrics.MAP_WINDOW, detector="e@1", subset="all", window="1h") is not None


async def test_a_vehicle_whose_clock_runs_ahead_does_not_empty_the_windows() -> None:
    clock = FakeClock()
    frames = survey(np.random.default_rng(1), 10)
    frames = [replace(f, captured_at=clock.now() - timedelta(minutes=5)) for f in frames]
    ahead = replace(frames[0], captured_at=clock.now() + timedelta(days=400))
    await step(clock).run(matches_of([ahead, *frames[1:]]))
    expected = oracle.twelve(oracle.coco_eval(frames[1:]))["AP"]
    value = read(detector_metrics.MAP_WINDOW, detector="d@1", subset="all", window="1h")
    assert value == pytest.approx(expected, abs=1e-9)


async def test_map_lies_within_its_bounds() -> None:
    await assessed(matches_of(survey(np.random.default_rng(2), 40)))
    low, high = (
        read(detector_metrics.MAP_BOUND, detector="d@1", subset="all", bound=b)
        for b in ("low", "high")
    )
    value = read(detector_metrics.MAP, detector="d@1", subset="all")
    assert low is not None
    assert high is not None
    assert value is not None
    assert low < value < high
    assert read(detector_metrics.MAP_BOUND, detector="d@1", subset="R") is None


async def test_bounds_are_reckoned_again_after_ten_seconds_at_most_once() -> None:
    clock = FakeClock()
    evaluator = step(clock)
    frames = survey(np.random.default_rng(3), 40)
    await evaluator.run(matches_of(frames[:20]))
    await evaluator.assess()
    early = read(detector_metrics.MAP_BOUND, detector="d@1", subset="all", bound="low")
    clock.advance(2)
    await evaluator.run(matches_of(frames[20:]))
    await evaluator.assess()
    assert read(detector_metrics.MAP_BOUND, detector="d@1", subset="all", bound="low") == early
    clock.advance(8)
    await evaluator.assess()
    assert read(detector_metrics.MAP_BOUND, detector="d@1", subset="all", bound="low") != early


async def test_matches_are_taken_in_and_shown_while_it_is_reckoned_how_sure_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(matches: MatchSnapshot) -> Confidence:
        begun.set()
        assert go_on.wait(240)
        return confidence(matches)

    monkeypatch.setattr(service, "confidence", slow)
    clock = FakeClock()
    evaluator = step(clock)
    frames = survey(np.random.default_rng(6), 40)
    await evaluator.run(matches_of(frames[:20]))
    assessing = asyncio.create_task(evaluator.assess())
    assert await asyncio.to_thread(begun.wait, 30)
    clock.advance(1)
    await evaluator.run(matches_of(frames[20:]))
    assert read(detector_metrics.EVALUATED_FRAMES, detector="d@1", subset="all") == 40
    go_on.set()
    await assessing
    alone = MatchState(OperatingScores(0.5))
    alone.add(categories_of(matches_of(frames[:20])))
    expected = alone.snapshot().interval(DetectorId("d@1"), Subset.ALL)
    assert expected is not None
    low = read(detector_metrics.MAP_BOUND, detector="d@1", subset="all", bound="low")
    assert low == pytest.approx(expected.low, abs=1e-12)


async def test_two_versions_are_compared_on_the_same_frames() -> None:
    old = survey(np.random.default_rng(4), 60, slip=25)
    new = survey(np.random.default_rng(4), 60, detector="e")
    await assessed(matches_of([*old, *new]))
    found = {
        bound: read(detector_metrics.MAP_DIFFERENCE, detector="e@1", other="d@1", bound=bound)
        for bound in ("value", "low", "high")
    }
    better, worse = (read(detector_metrics.MAP, detector=d, subset="all") for d in ("e@1", "d@1"))
    assert better is not None
    assert worse is not None
    assert found["value"] == pytest.approx(better - worse, abs=1e-9)
    assert found["low"] is not None
    assert found["low"] > 0


async def test_the_vehicle_that_drifts_is_named() -> None:
    rng = np.random.default_rng(5)
    matches: list[FrameMatched] = []
    for vehicle, slip in (("v1", 12), ("v2", 12), ("v3", 30)):
        frames = [renamed(f, f"{vehicle}-{f.frame_id}") for f in survey(rng, 60, slip=slip)]
        matches += matches_of(frames, vehicle)
    await assessed(matches)
    measure = DriftMeasure.MAP.value
    assert (
        read(detector_metrics.VEHICLES_DRIFTING, detector="d@1", measure=DriftMeasure.CLASSES.value)
        == 0
    )
    assert read(detector_metrics.VEHICLES_DRIFTING, detector="d@1", measure=measure) is not None
    effect = read(detector_metrics.VEHICLE_DRIFT, detector="d@1", measure=measure, vehicle="v3")
    assert effect is not None
    assert effect < 0


def test_pairs_of_detectors_that_are_not_compared_take_no_memory() -> None:
    none = np.zeros(0, np.int64)
    detectors = [DetectorId(f"d@{number}") for number in range(400)]
    curves = {(detector, Category("sign")): Sample(*[none] * 8) for detector in detectors}
    matches = MatchSnapshot(curves, np.zeros(0, np.int32), [])
    matches.interval(detectors[0], Subset.ALL)  # compiled
    tracemalloc.start()
    try:
        found = confidence(matches)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.differences, len(found.drifts)) == ({}, 400)
    assert peak < 1_000_000  # all pairs take 5 MB

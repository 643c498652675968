import random

import numpy as np
import pytest

from services.contracts.events import Split
from services.contracts.identity import FrameId, frame_hash
from services.domain.detection.coco import RECALLS
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.statistics.envelope_kernels import envelope, needs_of
from tests.unit.domain import oracle


def numbers(state: MatchState, subset: Subset = Subset.ALL) -> dict[str, float | None]:
    detectors = state.detectors()
    return twelve(state.of(detectors[0], subset).values()) if detectors else twelve([])


@pytest.mark.parametrize("seed", range(60))
def test_the_twelve_numbers_equal_pycocotools(seed: int) -> None:
    frames = oracle.random_frames(seed, 12, detections=120 if seed % 20 == 0 else 9)
    state = MatchState(OperatingScores(0.5))
    for frame in random.Random(seed).sample(frames, len(frames)):
        state.add(oracle.matched(frame))
    expected = oracle.twelve(oracle.coco_eval(frames))
    assert numbers(state) == pytest.approx(expected, abs=1e-9)


def test_no_frames_define_no_number() -> None:
    assert set(numbers(MatchState(OperatingScores(0.5))).values()) == {None}


@pytest.mark.parametrize("seed", range(5))
def test_a_subset_holds_its_own_frames_only(seed: int) -> None:
    frames = oracle.random_frames(seed, 15)
    state = MatchState(OperatingScores(0.5))
    kinds = [(Split.REFERENCE, False), (Split.HAYSTACK, False), (Split.HAYSTACK, True)]
    for i, frame in enumerate(frames):
        split, shortlisted = kinds[i % 3]
        state.add(oracle.matched(frame, split=split, shortlisted=shortlisted))
    of = {kind: [f for i, f in enumerate(frames) if i % 3 == kind] for kind in range(3)}
    for subset, members in {
        Subset.R: of[0],
        Subset.REST: of[1],
        Subset.S: of[2],
        Subset.H: of[1] + of[2],
        Subset.ALL: frames,
    }.items():
        expected = oracle.twelve(oracle.coco_eval(members))
        assert numbers(state, subset) == pytest.approx(expected, abs=1e-9)
        seen = {match.frame_id for frame in members for match in oracle.matched(frame)}
        assert state.frame_count(state.detectors()[0], subset) == len(seen)


@pytest.mark.parametrize("seed", range(20))
def test_precision_of_a_long_curve_is_its_envelope_at_the_recalls(seed: int) -> None:
    draw = np.random.default_rng(seed)
    right = draw.random(5000) < np.linspace(draw.random(), draw.random(), 5000)
    seen = np.flatnonzero(right) + 1
    truths = int(seen.size * draw.uniform(1, 2))
    hits = np.arange(1, seen.size + 1)
    precisions = np.maximum.accumulate((hits / seen)[::-1])[::-1]
    places = np.searchsorted(hits / truths, RECALLS)
    expected = np.append(precisions, 0.0)[places]
    decides = np.empty(RECALLS.size, np.int64)
    assert envelope(needs_of(truths), hits, seen, decides) == pytest.approx(expected.mean())
    assert np.append(hits / seen, 0.0)[decides] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(10))
def test_an_erased_frame_is_in_no_figure_and_does_not_come_back(seed: int) -> None:
    frames = oracle.random_frames(seed, 12)
    gone = {frame.frame_id for frame in random.Random(seed).sample(frames, 5)}
    state = MatchState(OperatingScores(0.5))
    for frame in frames[:-1]:
        state.add(oracle.matched(frame))
    state.add(oracle.matched(frames[-1]))

    changed = state.forget({frame_hash(frame_id) for frame_id in gone})
    for frame in frames:
        if frame.frame_id in gone:
            state.add(oracle.matched(frame))

    left = [frame for frame in frames if frame.frame_id not in gone]
    assert numbers(state) == pytest.approx(oracle.twelve(oracle.coco_eval(left)), abs=1e-9)
    seen = {match.frame_id for frame in left for match in oracle.matched(frame)}
    assert state.frame_count(state.detectors()[0], Subset.ALL) == len(seen)
    assert changed
    assert state.forget({frame_hash(FrameId("another"))}) == set()

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.events import (
    FALSE_POSITIVES,
    Annotation,
    Detection,
    ErrorType,
    FrameAnnotated,
    PredictionsMade,
)
from services.contracts.identity import Category, FrameId
from services.domain.detection.frame_matching import match_frame
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics import error_costs as subject
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.error_costs import Cost, ErrorCostPool, error_costs
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

Pair = tuple[PredictionsMade, FrameAnnotated]
CASES = json.loads((Path(__file__).parent / "tidecv_1_0_1.json").read_bytes())
"""Random frames with what tidecv 1.0.1 says of them."""
BOX = (0.0, 0.0, 100.0, 100.0)


def frames_of(case: dict[str, Any]) -> list[Pair]:
    return [
        frame(number, item["detections"], item["annotations"])
        for number, item in enumerate(case["frames"])
    ]


def frame(number: int, found: list[Any], there: list[Any]) -> Pair:
    frame_id = FrameId(f"{number:03d}")
    detections = tuple(Detection(category=str(c), score=s, bbox=b) for c, s, b in found)
    annotations = tuple(Annotation(category=str(c), bbox=b) for c, b in there)
    return (
        PredictionsMade(frame_id=frame_id, detector="d", version="1", detections=detections),
        FrameAnnotated(frame_id=frame_id, annotations=annotations),
    )


@pytest.mark.parametrize("case", CASES)
def test_the_costs_are_tidecvs(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # tidecv reads at x / 100, which is not always the same number as COCO's linspace has.
    monkeypatch.setattr(subject, "RECALLS", np.array([x / 100 for x in range(101)]))
    costs = error_costs(frames_of(case))
    assert costs.ap50 == pytest.approx(case["ap50"], abs=1e-12)
    assert {kind.value: cost for kind, cost in costs.costs.items()} == pytest.approx(
        case["costs"], abs=1e-12
    )


@pytest.mark.parametrize("case", CASES)
def test_the_error_types_are_tidecvs(case: dict[str, Any]) -> None:
    kinds = Counter(
        error
        for pair in frames_of(case)
        for match in match_frame(*pair).values()
        for error in match.errors
        if error is not None
    )
    assert {kind.value: kinds[kind] for kind in FALSE_POSITIVES} == {
        kind.value: case["counts"][kind.value] for kind in FALSE_POSITIVES
    }


@pytest.mark.parametrize("seed", range(10))
def test_what_nothing_is_repaired_of_is_cocos_ap50(seed: int) -> None:
    frames = oracle.random_frames(seed, 12)
    costs = error_costs((frame.predictions, frame.truth) for frame in frames)
    state = MatchState(OperatingScores(0.5))
    state.add(match for frame in frames for match in oracle.matched(frame))
    expected = twelve(state.of(frames[0].predictions.detector_id, Subset.ALL).values())
    assert costs.ap50 == pytest.approx(expected["AP50"], abs=1e-9)


def test_an_error_of_class_names_the_category_that_was_there() -> None:
    matched = match_frame(*frame(0, [("a", 0.9, BOX)], [("b", BOX)]))[Category("a")]
    assert matched.errors == (ErrorType.CLASSIFICATION,)
    assert matched.true_categories == ("b",)


def test_repairing_the_only_error_makes_all_right() -> None:
    costs = error_costs([frame(0, [("a", 0.9, BOX)], [("b", BOX)])])
    assert costs.ap50 == 0
    assert costs.costs[ErrorType.CLASSIFICATION] == pytest.approx(1)
    assert costs.costs[Cost.MISSED] == 0


@pytest.mark.parametrize("pairs", [[], [frame(0, [("a", 0.9, BOX)], [])]])
def test_without_ground_truth_nothing_costs_anything(pairs: list[Pair]) -> None:
    costs = error_costs(pairs)
    assert costs.ap50 is None
    assert set(costs.costs.values()) == {0.0}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 99)), max_size=30))
def test_after_changes_the_pool_is_one_of_the_last_frames(
    changes: list[tuple[int, int | None]],
) -> None:
    pool, last = ErrorCostPool(), dict[FrameId, Pair]()
    for number, seed in changes:
        drawn = oracle.random_frame(np.random.default_rng(seed or 0), number)
        if seed is None:
            pool.drop(drawn.frame_id)
            last.pop(drawn.frame_id, None)
        else:
            last[drawn.frame_id] = drawn.predictions, drawn.truth
            pool.put([last[drawn.frame_id]])

    assert len(pool) == len(last)
    found, expected = pool.costs(), error_costs(last[name] for name in sorted(last))
    # Categories are summed in the order in which they came.
    assert found.ap50 == pytest.approx(expected.ap50, abs=1e-12)
    assert found.costs == pytest.approx(expected.costs, abs=1e-12)

"""Operating scores of single categories: what they are, and where they count."""

import numpy as np
import pytest

from services.contracts.identity import Category, DetectorId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Interval
from tests.unit.domain import oracle
from tests.unit.domain.test_resampling import ONE, survey

SIGN, ROUND = Category("stop sign"), Category("sign, round")
OLD, NEW = DetectorId("ods@1"), DetectorId("ods@2")


def test_a_versions_score_comes_before_the_categorys_and_that_before_the_default() -> None:
    scores = OperatingScores.parsed(0.5, 'stop sign=.6, ods@2:stop sign=.7,"sign, round=0"')
    assert [scores.of(detector, SIGN) for detector in (OLD, NEW)] == [0.6, 0.7]
    assert scores.by_category(OLD, [ROUND, Category("light")]) == [0, 0.5]
    assert OperatingScores.parsed(0.5, " ") == OperatingScores(0.5)
    assert OperatingScores.parsed(0.5, "k=v=1").of(OLD, Category("k=v")) == 1


def test_versions_and_categories_may_have_colons() -> None:
    scores = OperatingScores.parsed(0.5, "yolo@1:2:car=.3, speed:30=.4")
    assert scores.of(DetectorId("yolo@1:2"), Category("car")) == 0.3
    assert scores.of(DetectorId("yolo@1"), Category("2:car")) == 0.3
    assert scores.of(DetectorId("yolo@1"), Category("car")) == 0.5
    assert scores.of(DetectorId("yolo@1:2"), Category("speed:30")) == 0.4
    with pytest.raises(ValueError, match="there twice"):
        OperatingScores.parsed(0.5, "yolo@1:2:car=.3,yolo@1: 2:car=.4")


@pytest.mark.parametrize("listed", ["sign", "=.5", "sign=1.1", "sign=nan", "a=.5,a=.6", "a=.5,"])
def test_what_names_no_category_or_no_score_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        OperatingScores.parsed(0.5, listed)


def test_each_category_counts_from_its_own_score() -> None:
    scores = {category: 0.3 + 0.1 * k for k, category in enumerate(oracle.CATEGORIES[:3])}
    frames = survey(np.random.default_rng(4), 40)
    tagged = {("light", "day"): {frame.frame_id for frame in frames[::2]}}
    own = OperatingScores(0.9, {(None, category): score for category, score in scores.items()})
    state = _state(frames, own)
    figures = state.of(ONE, Subset.ALL)
    (of_slice,) = state.curves_on(ONE, tagged).values()
    for category, score in scores.items():
        alone = _state(frames, OperatingScores(score))
        assert figures[category].operating == alone.of(ONE, Subset.ALL)[category].operating
        (expected,) = alone.curves_on(ONE, tagged).values()
        assert of_slice.operating[category] == expected.operating[category]


def test_slices_count_each_category_from_its_own_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.domain.metrics.slices.MIN_FRAMES", 5)
    frames = survey(np.random.default_rng(4), 40)
    tagged = {("light", "day"): {frame.frame_id for frame in frames[::2]}}
    listed = ",".join(f"{ONE}:{name}=.{k}" for k, name in enumerate(oracle.CATEGORIES[:3], start=3))
    state = _state(frames, OperatingScores.parsed(0.9, listed))
    (part,) = state.slices(ONE, Subset.ALL, tagged)
    counted = state.curves_on(ONE, tagged)["light", "day"].operating.values()
    right = sum(point.true_positives for point in counted)
    shown = right + sum(point.false_positives for point in counted)
    assert isinstance(part.precision, Interval)
    assert part.precision.value == pytest.approx(right / shown)


def _state(frames: list[oracle.Frame], operating: OperatingScores) -> MatchState:
    state = MatchState(operating)
    state.add(match for frame in frames for match in oracle.matched(frame))
    return state

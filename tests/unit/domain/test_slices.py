"""Slices of frames by tag, compared with all other frames."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pytest
import scipy

from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade
from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics import slices as subject
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.operating_point import joint_operating_point
from services.domain.metrics.slice_pairs import Ratio, Tag, p_values_of_pairs
from services.domain.metrics.slices import TaggedFrames
from services.domain.metrics.subsets import Subset
from services.domain.statistics.clusters import share_of_sums
from services.domain.statistics.significance import wilson_interval
from tests.unit.domain import oracle

DETECTOR = DetectorId("d@1")
SIGN = Category("sign")
KEYS, VALUES, PLANTED = 10, 10, 10


def frame_of(rng: np.random.Generator, number: int, missed: float) -> oracle.Frame:
    """A frame with objects of which a share is missed, and some false positives."""
    frame_id, annotations, found = FrameId(f"{number:06d}"), [], []
    for k in range(rng.integers(1, 5)):
        x, y = 100.0 * k, float(rng.integers(0, 200))
        annotations.append(Annotation(category=SIGN, bbox=(x, y, 60.0, 60.0)))
        if rng.random() > missed:
            score, shift = float(rng.beta(4, 2)), float(rng.integers(0, 12))
            box = (x + shift, y, 60.0, 60.0)
            found.append(Detection(category=SIGN, score=score, bbox=box))
    if rng.random() < 0.4:
        box = (0.0, 400.0, 60.0, 60.0)
        found.append(Detection(category=SIGN, score=float(rng.beta(2, 3)), bbox=box))
    predictions = PredictionsMade(
        frame_id=frame_id, detector="d", version="1", detections=tuple(found)
    )
    return oracle.Frame(
        predictions, FrameAnnotated(frame_id=frame_id, annotations=tuple(annotations))
    )


def surveyed(
    seed: int, frames: int, planted: int = PLANTED
) -> tuple[MatchState, Mapping[Tag, set[FrameId]], set[Tag]]:
    """Frames with a value of every key; those with a planted one are harder."""
    rng = np.random.default_rng(seed)
    tags = [(f"key{k}", f"value{v}") for k in range(KEYS) for v in range(VALUES)]
    hard = {tags[i] for i in rng.choice(len(tags), planted, replace=False)}
    tagged: defaultdict[Tag, set[FrameId]] = defaultdict(set)
    state, matches = MatchState(OperatingScores(0.5)), []
    for number in range(frames):
        own = [tags[k * VALUES + int(v)] for k, v in enumerate(rng.integers(0, VALUES, KEYS))]
        frame = frame_of(rng, number, 0.1 + 0.3 * any(tag in hard for tag in own))
        for tag in own:
            tagged[tag].add(frame.frame_id)
        matches += oracle.matched(frame)
    state.add(matches)
    return state, tagged, hard


def test_of_the_ten_slices_ranked_worst_at_least_eight_are_planted() -> None:
    state, tagged, planted = surveyed(0, 1200)
    ranked = state.slices(DETECTOR, Subset.ALL, tagged)
    singles = [part for part in ranked if part.and_tag is None]
    assert len({part.tag for part in singles[:10]} & planted) >= 8
    assert len(singles) == KEYS * VALUES
    assert ranked[0].worse
    assert ranked[0].difference < 0


def test_no_slice_is_worse_where_none_was_planted() -> None:
    state, tagged, _ = surveyed(7, 400, planted=0)
    assert not any(part.worse for part in state.slices(DETECTOR, Subset.ALL, tagged))


def test_a_pair_is_worse_only_if_it_is_worse_than_either_of_its_tags() -> None:
    rng, state = np.random.default_rng(5), MatchState(OperatingScores(0.5))
    tagged: defaultdict[Tag, set[FrameId]] = defaultdict(set)
    wet, tunnel, night = ("weather", "rain"), ("road", "tunnel"), ("light", "night")
    for number in range(800):
        tags = {tag for tag in (wet, tunnel, night) if rng.random() < 0.4}
        # Night is bad; rain in a tunnel is bad, and neither rain nor tunnels are.
        missed = 0.6 if {wet, tunnel} <= tags or night in tags else 0.1
        frame = frame_of(rng, number, missed)
        state.add(oracle.matched(frame))
        for tag in tags:
            tagged[tag].add(frame.frame_id)

    ranked = state.slices(DETECTOR, Subset.ALL, tagged)

    worse = {frozenset({part.tag, part.and_tag} - {None}) for part in ranked if part.worse}
    assert {frozenset({night}), frozenset({wet, tunnel})} <= worse
    assert not {frozenset({night, wet}), frozenset({night, tunnel})} & worse
    (pair,) = (part for part in ranked if part.and_tag == wet and part.tag == tunnel)
    assert pair.frames == len(tagged[wet] & tagged[tunnel])


def test_the_pairs_are_compared_by_ratios_of_sums_over_frames() -> None:
    rng = np.random.default_rng(0)
    wholes = rng.integers(0, 5, 300).astype(float)
    parts = rng.binomial(wholes.astype(int), 0.6).astype(float)
    one, other = rng.random(300) < 0.5, rng.random(300) < 0.5
    members = {("a", "x"): one, ("b", "x"): other, ("b", "y"): ~other}

    found = p_values_of_pairs(members, [Ratio(parts, wholes)], 30)

    assert set(found) == {(("a", "x"), ("b", "x")), (("a", "x"), ("b", "y"))}
    both = one & other

    def estimate(frames: np.ndarray) -> tuple[float, float]:
        ratio = parts[frames].sum() / wholes[frames].sum()
        return ratio, np.square(parts - ratio * wholes)[frames].sum() / wholes[frames].sum() ** 2

    own, own_variance = estimate(both)
    p_values = []
    for tag in (one, other):
        base, variance = estimate(tag & ~both)
        z = (own - base) / np.sqrt(own_variance + variance)
        p_values.append(scipy.stats.norm.cdf(z) if z < 0 else 1.0)
    assert found[("a", "x"), ("b", "x")] == pytest.approx(max(p_values))


def test_a_slices_figures_are_those_of_its_frames_alone() -> None:
    rng, state, alone = (
        np.random.default_rng(3),
        MatchState(OperatingScores(0.5)),
        MatchState(OperatingScores(0.5)),
    )
    own = set()
    for number in range(120):
        frame = frame_of(rng, number, 0.2)
        state.add(oracle.matched(frame))
        if number % 3 == 0:
            own.add(frame.frame_id)
            alone.add(oracle.matched(frame))
    (part,) = state.slices(DETECTOR, Subset.ALL, {("weather", "rain"): own})
    figures = alone.of(DETECTOR, Subset.ALL)
    operating = joint_operating_point([f.operating for f in figures.values()], 0.5)
    assert part.frames == 40
    assert part.map is not None
    assert part.map.value == pytest.approx(twelve(figures.values())["AP"])
    for found, expected in (
        (part.precision, operating.precision),
        (part.recall, operating.recall),
    ):
        assert found is not None
        assert found.value == pytest.approx(expected)
        assert found.low < found.value < found.high


def test_slices_of_few_frames_are_not_compared_and_most_bounds_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, tagged, _ = surveyed(1, 400)
    few = {("rare", "x"): {FrameId("000001")}, ("unknown", "x"): {FrameId("elsewhere")}}
    every = {("all", "x"): {FrameId(f"{n:06d}") for n in range(400)}}
    assert state.slices(DETECTOR, Subset.ALL, {**few, **every}) == []
    assert state.slices(DETECTOR, Subset.ALL, {}) == []
    monkeypatch.setattr(subject, "MAX_SLICES", 3)
    ranked = state.slices(DETECTOR, Subset.ALL, tagged)
    assert len([part for part in ranked if part.and_tag is None]) == 3
    assert {part.frames for part in ranked if part.and_tag is None} <= set(
        sorted(map(len, tagged.values()))[-3:]
    )


def test_a_frame_may_get_other_tags() -> None:
    tagged, rain, snow = TaggedFrames(), ("weather", "rain"), ("weather", "snow")
    for tags in ((rain,), (rain,), (snow,)):
        tagged.put(FrameId("f"), tags)
    tagged.put(FrameId("g"), (snow,))
    assert tagged.frames == {rain: set(), snow: {"f", "g"}}


def test_correlated_detections_count_for_fewer_than_they_are() -> None:
    rights = np.repeat([0.0, 10.0], 20)
    clustered = share_of_sums(rights, np.full(40, 10.0))
    apart = share_of_sums(np.repeat([0.0, 1.0], 200), np.ones(400))
    assert clustered is not None
    assert apart is not None
    assert (clustered.low, clustered.high) == pytest.approx(wilson_interval(0.5, 40))
    assert (apart.low, apart.high) == pytest.approx(wilson_interval(0.5, 400))
    assert share_of_sums(np.zeros(3), np.zeros(3)) is None
    certain = share_of_sums(np.ones(50), np.ones(50))
    assert certain is not None
    assert certain.low == pytest.approx(1 / (1 + 1.96**2 / 50), rel=1e-3)

"""What repairing listed frames gains, where the right answer is known."""

from dataclasses import replace

import pytest

from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade, Split
from services.contracts.identity import Category, DetectorId, FrameId
from services.contracts.matches import CategoryMatched
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

DETECTOR = DetectorId("d@1")
SIGN = Category("sign")
TRUE, FALSE = (10.0, 10.0, 40.0, 40.0), (200.0, 200.0, 40.0, 40.0)


def frame(name: str, right: float, wrong: float | None = None) -> oracle.Frame:
    """A frame with one sign that is found, and perhaps a false positive."""
    found = [Detection(category=SIGN, score=right, bbox=TRUE)]
    if wrong is not None:
        found.append(Detection(category=SIGN, score=wrong, bbox=FALSE))
    frame_id = FrameId(name)
    return oracle.Frame(
        PredictionsMade(frame_id=frame_id, detector="d", version="1", detections=tuple(found)),
        FrameAnnotated(frame_id=frame_id, annotations=(Annotation(category=SIGN, bbox=TRUE),)),
    )


def matched(*frames: oracle.Frame) -> list[CategoryMatched]:
    return [match for item in frames for match in oracle.matched(item)]


def haystack_ap(*frames: oracle.Frame) -> float:
    state = MatchState(OperatingScores(0.5))
    state.add(matched(*frames))
    value = twelve(state.of(DETECTOR, Subset.H).values())["AP"]
    assert value is not None
    return value


def test_repaired_frames_have_no_false_positives_and_the_reference_plays_no_part() -> None:
    listed = [frame(f"s{i}", 0.6, 0.9 - i / 100) for i in range(3)]
    rest = [frame(f"r{i}", 0.7 + i / 100, 0.75) for i in range(12)]
    reference = frame("q", 0.1, 0.99)
    state = MatchState(OperatingScores(0.5))
    state.add([m for item in listed for m in oracle.matched(item, shortlisted=True)])
    state.add([m for item in rest for m in oracle.matched(item)])
    state.add(oracle.matched(reference, split=Split.REFERENCE))

    found = state.ap_recovered(DETECTOR)

    repaired = [frame(f"s{i}", 0.6) for i in range(3)]
    expected = haystack_ap(*repaired, *rest) - haystack_ap(*listed, *rest)
    assert found is not None
    assert found.frames == 3
    assert found.shortlisted.value == pytest.approx(expected, abs=1e-9)
    assert found.shortlisted.low < expected < found.shortlisted.high
    # The three highest scores are those of the listed frames.
    assert found.highest == pytest.approx(expected, abs=1e-9)
    assert 0 < found.random < expected


def test_random_frames_gain_the_share_of_the_errors_that_they_have() -> None:
    frames = [frame(f"{i:02d}", 0.5, 0.9) for i in range(40)]
    state = MatchState(OperatingScores(0.5))
    for number, item in enumerate(frames):
        state.add(oracle.matched(item, shortlisted=number < 10))

    found = state.ap_recovered(DETECTOR)

    assert found is not None
    # All frames are alike, so any ten gain the same.
    assert found.random == pytest.approx(found.shortlisted.value, abs=1e-9)


def test_the_order_in_which_matches_are_added_does_not_matter() -> None:
    items = [frame(f"{i:02d}", 0.5 + i / 200, (i * 7 % 70) / 70) for i in range(70)]
    matches = [m for i, item in enumerate(items) for m in oracle.matched(item, shortlisted=i < 10)]
    tagged = {("weather", "rain"): {FrameId(f"{i:02d}") for i in range(30)}}
    tagged[("weather", "dry")] = {FrameId(f"{i:02d}") for i in range(35, 70)}
    found = []
    for order in (matches, matches[::-1], matches[::2] + matches[1::2]):
        state = MatchState(OperatingScores(0.5))
        for match in order:
            state.add([match])
        found.append((state.ap_recovered(DETECTOR), state.slices(DETECTOR, Subset.ALL, tagged)))

    assert len(found[0][1]) == 2
    assert found[0] == found[1] == found[2]


def test_without_shortlisted_frames_nothing_is_recovered() -> None:
    state = MatchState(OperatingScores(0.5))
    state.add(oracle.matched(frame("r", 0.6, 0.9)))

    assert state.ap_recovered(DETECTOR) is None
    assert MatchState(OperatingScores(0.5)).ap_recovered(DETECTOR) is None


def test_a_familys_gain_is_that_of_its_category_on_its_reviewed_frames() -> None:
    listed = [frame(f"s{i}", 0.6, 0.9 - i / 100) for i in range(3)]
    rest = [frame(f"r{i}", 0.7 + i / 100, 0.75) for i in range(12)]
    lights = [replace(match, category=Category("light")) for match in matched(*listed, *rest)]
    reviewed = frozenset({FrameId("s0"), FrameId("s1"), FrameId("unknown")})
    state = MatchState(OperatingScores(0.5))
    state.add([*matched(*listed, *rest), *lights])
    state.add(oracle.matched(frame("q", 0.1, 0.99), split=Split.REFERENCE))

    found = state.repair_gains(
        DETECTOR,
        {"family": (SIGN, reviewed), "all": (None, reviewed), "lost": (SIGN, {FrameId("gone")})},
    )

    repaired = [frame("s0", 0.6), frame("s1", 0.6), listed[2]]
    expected = haystack_ap(*repaired, *rest) - haystack_ap(*listed, *rest)
    assert found.keys() == {"family", "all"}
    assert (found["family"].frames, found["all"].frames) == (2, 2)
    assert found["family"].ap == pytest.approx(expected, abs=1e-9)
    assert found["family"].map == pytest.approx(expected / 2, abs=1e-9)
    assert found["all"].map == pytest.approx(expected, abs=1e-9)


def test_the_order_in_which_frames_arrive_changes_nothing() -> None:
    frames = [frame(f"{i:02d}", 0.5 + i / 100, 0.9 - i / 50 if i % 3 else None) for i in range(30)]
    states = [MatchState(OperatingScores(0.5)), MatchState(OperatingScores(0.5))]
    for state, order in zip(states, (frames, frames[::-1]), strict=True):
        for item in order:
            state.add(oracle.matched(item, shortlisted=frames.index(item) < 9))

    assert states[0].ap_recovered(DETECTOR) == states[1].ap_recovered(DETECTOR)

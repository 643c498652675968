"""Whatever happens to the frames, the numbers are pycocotools' own, after every step."""

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contracts.errors import InvalidRecord
from services.contracts.events import Split
from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.contracts.matches import CategoryMatched
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.kept_figures import EVER, Window
from services.domain.metrics.match_columns import LAST_REVISION, Cells, NamedColumns, Names
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle

DETECTOR = DetectorId("d@1")
DAY = timedelta(days=1)
EMPTY = dict.fromkeys(
    ("regions", "bboxes", "scores", "matched", "ignored", "overlaps", "errors", "true_categories"),
    (),
)


MANY = ("scores", "matched", "ignored", "overlaps", "errors")


@dataclass(frozen=True)
class Known:
    frame: oracle.Frame
    split: Split
    shortlisted: bool
    revision: int

    def of(self, subset: Subset) -> bool:
        haystack = self.split is Split.HAYSTACK
        return {
            Subset.ALL: True,
            Subset.R: not haystack,
            Subset.H: haystack,
            Subset.S: haystack and self.shortlisted,
            Subset.REST: haystack and not self.shortlisted,
        }[subset]


class World:
    """A state, and what it should hold."""

    def __init__(self) -> None:
        self.state = MatchState(OperatingScores(0.5), (DAY, 30 * DAY))
        self.known: dict[FrameId, Known] = {}
        self.revision = 0
        self.until = oracle.START + 5 * DAY

    def say(self, known: Known) -> None:
        self.state.add(matches(known))
        self.known[known.frame.frame_id] = known

    def next_revision(self) -> int:
        self.revision += 2  # so that there is an older one to replay
        return self.revision

    def check(self) -> None:
        for subset in (Subset.ALL, Subset.S, Subset.REST):
            self.check_window(subset, EVER)
        self.check_window(Subset.ALL, Window(DAY, self.until))

    def check_window(self, subset: Subset, window: Window) -> None:
        frames = [k.frame for k in self.known.values() if k.of(subset)]
        if window.length is not None:
            start = self.until - window.length
            frames = [f for f in frames if start < f.captured_at <= self.until]
        expected = oracle.twelve(oracle.coco_eval(frames)) if frames else twelve([])
        found = twelve(self.state.of(DETECTOR, subset, window).values())
        assert found == pytest.approx(expected, abs=1e-9), (subset, window)


def matches(known: Known) -> list[CategoryMatched]:
    """The frame's matches, and an empty one of every category that has none (any more)."""
    matched = oracle.matched(
        known.frame,
        revision=known.revision,
        split=known.split,
        shortlisted=known.shortlisted,
    )
    categories = {match.category for match in matched}
    template = CategoryMatched(
        frame_id=known.frame.frame_id,
        detector=DETECTOR,
        category=Category("none"),
        revision=known.revision,
        split=known.split,
        shortlisted=known.shortlisted,
        vehicle_id=VehicleId("v"),
        drive_id=None,
        captured_at=known.frame.captured_at,
        ground_truths=(0, 0, 0, 0),
        **EMPTY,  # type: ignore[arg-type]
    )
    gone = [c for c in oracle.CATEGORIES if c not in categories]
    return matched + [replace(template, category=category) for category in gone]


def add(world: World, rng: np.random.Generator) -> None:
    frame = oracle.random_frame(rng, int(rng.integers(0, 10_000)))
    split = Split.REFERENCE if rng.random() < 0.2 else Split.HAYSTACK
    world.say(Known(frame, split, bool(rng.random() < 0.4), world.next_revision()))


def replace_one(world: World, rng: np.random.Generator) -> None:
    old = some(world, rng)
    frame = oracle.random_frame(rng, int(old.frame.frame_id.removeprefix("frame-")))
    world.say(replace(old, frame=frame, revision=world.next_revision()))


def move(world: World, rng: np.random.Generator) -> None:
    old = some(world, rng)
    world.say(replace(old, shortlisted=not old.shortlisted, revision=world.next_revision()))


def empty(world: World, rng: np.random.Generator) -> None:
    old = some(world, rng)
    nothing = oracle.Frame(
        old.frame.predictions.model_copy(update={"detections": ()}),
        old.frame.truth.model_copy(update={"annotations": ()}),
        old.frame.captured_at,
    )
    world.say(replace(old, frame=nothing, revision=world.next_revision()))


def replay(world: World, rng: np.random.Generator) -> None:
    old = some(world, rng)
    world.state.add(matches(old))
    other = oracle.random_frame(rng, int(old.frame.frame_id.removeprefix("frame-")))
    world.state.add(matches(replace(old, frame=other, revision=old.revision - 1)))


def slide(world: World, rng: np.random.Generator) -> None:
    world.until += timedelta(hours=int(rng.integers(-10, 30)))


def some(world: World, rng: np.random.Generator) -> Known:
    if not world.known:
        add(world, rng)
    return list(world.known.values())[rng.integers(len(world.known))]


STEPS = (add, add, add, replace_one, move, empty, replay, slide)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(STEPS), min_size=4, max_size=14))
def test_the_numbers_are_right_after_every_step(seed: int, steps: Iterable[object]) -> None:
    world, rng = World(), np.random.default_rng(seed)
    for step in steps:
        step(world, rng)  # type: ignore[operator]  # one of the functions above
        world.check()


def known_frames(seed: int, count: int) -> list[Known]:
    rng = np.random.default_rng(seed)
    return [
        Known(frame, Split.HAYSTACK, bool(rng.random() < 0.4), revision)
        for revision, frame in enumerate(oracle.random_frames(seed, count), start=2)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_matches_added_at_once_count_as_if_they_had_come_one_by_one(seed: int) -> None:
    frames = known_frames(seed, 80)
    world = World()
    stale = [
        replace(known, shortlisted=not known.shortlisted, revision=known.revision - 1)
        for known in frames[::5]
    ]
    order = random.Random(seed).sample([*frames, *stale], len(frames) + len(stale))
    world.state.add(match for known in order for match in matches(known))
    world.known = {known.frame.frame_id: known for known in frames}
    world.check()
    later = known_frames(seed + 100, 10)
    for known in later:
        world.say(replace(known, revision=known.revision + 1000))
    world.check()


def test_a_snapshot_stays_as_it_was_made() -> None:
    world = World()
    frames = known_frames(3, 12)
    for known in frames[:6]:
        world.say(known)
    snapshot = world.state.snapshot()
    before = snapshot.interval(DETECTOR, Subset.ALL)
    for known in frames[6:]:
        world.say(known)
    world.say(replace(frames[0], shortlisted=not frames[0].shortlisted, revision=99))
    assert snapshot.interval(DETECTOR, Subset.ALL) == before
    assert world.state.snapshot().interval(DETECTOR, Subset.ALL) != before


def test_a_window_of_another_length_is_refused() -> None:
    state = MatchState(OperatingScores(0.5), (DAY,))
    with pytest.raises(ValueError, match="not in tuple"):
        state.of(DETECTOR, Subset.ALL, Window(2 * DAY, oracle.START))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scores": (math.nan,)}, "score_not_finite"),
        ({"scores": (math.inf,)}, "score_not_finite"),
        ({"ground_truths": (1 << 16, 0, 0, 0)}, "too_many_ground_truths"),
        ({"ground_truths": (1, -1, 0, 0)}, "negative_ground_truths"),
        ({"revision": LAST_REVISION + 1}, "revision_too_high"),
        (dict.fromkeys(MANY, (0,) * 101) | {"errors": (None,) * 101}, "too_many_detections"),
    ],
)
def test_a_match_that_cannot_be_held_leaves_the_state_as_it_was(
    changes: dict[str, object], reason: str
) -> None:
    world = World()
    first, second = known_frames(1, 2)
    world.say(replace(first, revision=LAST_REVISION))
    one = dict.fromkeys(MANY, (0.5,)) | {"matched": (1,), "ignored": (0,), "errors": (None,)}
    bad = replace(matches(second)[0], **{**one, **changes})  # type: ignore[arg-type]
    curves = world.state.curves()
    with pytest.raises(InvalidRecord) as caught:
        world.state.add([*matches(replace(second, revision=9)), bad])
    assert caught.value.reason == reason
    assert world.state.curves() == curves
    world.check()


def test_a_category_is_read_again_only_where_its_frames_changed() -> None:
    world = World()
    for known in known_frames(1, 10):
        world.say(replace(known, shortlisted=False))
    curves = world.state.curves()
    for subset in (Subset.REST, Subset.S):
        world.state.of(DETECTOR, subset)
    assert world.state.reads == 2 * len(curves)
    changed = matches(replace(known_frames(1, 1)[0], revision=99, shortlisted=True))[:1]
    world.state.add(changed)
    for subset in (Subset.REST, Subset.S, Subset.R):
        world.state.of(DETECTOR, subset)
    assert world.state.reads == 2 * len(curves) + 2 + len(curves)


def test_a_window_that_slides_past_no_frame_costs_nothing() -> None:
    world = World()
    for known in known_frames(2, 10):
        world.say(known)
    latest = max(known.frame.captured_at for known in world.known.values())
    world.state.of(DETECTOR, Subset.ALL, Window(30 * DAY, latest))
    reads = world.state.reads
    world.state.of(DETECTOR, Subset.ALL, Window(30 * DAY, latest + DAY))
    assert world.state.reads == reads
    world.state.of(DETECTOR, Subset.ALL, Window(30 * DAY, latest + 30 * DAY))
    assert world.state.reads > reads


@pytest.mark.parametrize("seed", range(3))
def test_a_window_that_slides_changes_the_figures_of_each_subset(seed: int) -> None:
    world = World()
    for number, known in enumerate(known_frames(seed, 30)):
        split = Split.REFERENCE if number % 3 == 0 else Split.HAYSTACK
        world.say(replace(known, split=split))
    for days in (2, 3, 5, 4):
        window = Window(DAY, oracle.START + days * DAY)
        plain = MatchState(OperatingScores(0.5), (DAY, 30 * DAY))
        plain.add(match for known in world.known.values() for match in matches(known))
        for subset in (Subset.R, Subset.S, Subset.REST):
            found, expected = (
                twelve(state.of(DETECTOR, subset, window).values())
                for state in (world.state, plain)
            )
            assert found == expected, (subset, days)


def test_nothing_is_counted_of_a_detector_without_matches() -> None:
    assert World().state.frame_count(DETECTOR, Subset.ALL) == 0


def test_a_detection_takes_few_bytes_whatever_the_subsets_and_windows_asked_for() -> None:
    groups, size = 20_000, 4
    rng = np.random.default_rng(0)
    state = MatchState(OperatingScores(0.5), (DAY,))
    cells = Cells(
        part=rng.integers(0, 3, groups),
        captured=rng.integers(0, 10**12, groups),
        revision=np.ones(groups, np.int64),
        truths=np.full((groups, 4), 2),
        starts=np.arange(0, groups * size + 1, size),
        scores=np.sort(rng.random((groups, size)))[:, ::-1].ravel(),
        overlaps=rng.random(groups * size),
        matched=rng.integers(0, 1 << 40, groups * size).astype(np.uint64),
        ignored=np.zeros(groups * size, np.uint64),
        errors=np.zeros(groups * size, np.int64),
    )
    one = np.zeros(groups, np.int64)
    frames = Names([FrameId(f"{k:06d}") for k in range(groups)], np.arange(groups))
    vehicles = Names([VehicleId("v")], one)
    category = Names([oracle.CATEGORIES[0]], one)
    state.add_named(NamedColumns(Names([DETECTOR], one), category, frames, vehicles, cells))
    for subset in Subset:
        state.of(DETECTOR, subset, Window(DAY, oracle.START))
    assert state.nbytes <= 60 * groups * size

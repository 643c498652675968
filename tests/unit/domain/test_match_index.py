"""The index says what a plain pass over the same matches says, after any sequence of changes."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.domain.arrays import FloatArray
from services.domain.detection.coco import RECALLS
from services.domain.metrics.index_layout import BLOCK, View
from services.domain.metrics.match_columns import Cells
from services.domain.metrics.match_index import MatchIndex

LENGTHS = np.array([100, 1000], np.int64)
SCORE = 0.5
VIEWS = [View(7, -1), View(2, -1), View(6, 0), View(7, 1), View(1, 0)]
SETTINGS = (1 << 40) - 1


@dataclass(frozen=True)
class Match:
    """One match: its detections as (score, matched, ignored, overlap, error), best first."""

    curve: int
    frame: int
    part: int
    captured: int
    revision: int
    truths: tuple[int, int, int, int]
    detections: tuple[tuple[float, int, int, float, int], ...]

    def inside(self, view: View, until: int) -> bool:
        if not view.parts >> self.part & 1:
            return False
        return view.window < 0 or until - LENGTHS[view.window] < self.captured <= until


class World:
    """An index, and the matches that it should hold. Frame 0 comes last in the order of frames."""

    def __init__(self, curves: int = 2) -> None:
        self.index = MatchIndex(LENGTHS)
        for _ in range(curves):
            self.index.append(0)
        self.held: dict[tuple[int, int], Match] = {}
        self.slide(0)

    def add(self, matches: list[Match]) -> None:
        frames = 1 + max(match.frame for match in [*matches, *self.held.values()])
        cells = cells_of(matches)
        curve = np.array([match.curve for match in matches])
        frame = np.array([match.frame for match in matches])
        self.index.add(cells.batch(curve, frame, np.full(curve.size, SCORE)), self.ranks(frames))
        for match in matches:
            old = self.held.get((match.curve, match.frame))
            if old is None or old.revision < match.revision:
                self.held[match.curve, match.frame] = match

    def slide(self, until: int) -> None:
        self.until = until
        frames = 1 + max((match.frame for match in self.held.values()), default=0)
        self.index.slide(until, self.ranks(frames))

    @staticmethod
    def ranks(frames: int) -> np.ndarray:
        return np.arange(frames)[::-1].copy()

    def check(self) -> None:
        curves = np.arange(len(self.index))
        for view in VIEWS:
            numbers, shown, counts = self.index.figures(curves, view)
            for curve in curves.tolist():
                matches = [m for m in self.held.values() if m.curve == curve]
                matches = [m for m in matches if m.inside(view, self.until)]
                found = (numbers[curve], shown[curve], counts[curve])
                for value, expected in zip(found, plain(matches), strict=True):
                    assert value == pytest.approx(expected, abs=1e-12, nan_ok=True), view
        if self.held:
            assert self.index.latest == max(m.captured for m in self.held.values())
        frames = {m.frame for m in self.held.values() if m.part != 1}
        assert self.index.frame_count(0, 0b101) == len(frames)


def cells_of(matches: list[Match]) -> Cells:
    found = [detection for match in matches for detection in match.detections]
    columns = list(zip(*found, strict=True)) if found else [()] * 5
    scores, matched, ignored, overlaps, errors = columns
    return Cells(
        part=np.array([m.part for m in matches]),
        captured=np.array([m.captured for m in matches]),
        revision=np.array([m.revision for m in matches]),
        truths=np.array([m.truths for m in matches]),
        starts=np.cumsum([0, *(len(m.detections) for m in matches)]),
        scores=np.array(scores, np.float64),
        overlaps=np.array(overlaps, np.float64),
        matched=np.array(matched, np.uint64),
        ignored=np.array(ignored, np.uint64),
        errors=np.array(errors, np.int64),
    )


def plain(matches: list[Match]) -> tuple[FloatArray, FloatArray, list[int]]:
    """Numbers, what is shown, and counts, by a plain pass over the sorted detections."""
    found = [
        (-detection[0], -match.frame, place, detection)
        for match in matches
        for place, detection in enumerate(match.detections)
    ]
    found.sort(key=lambda item: item[:3])
    truths = np.array([m.truths for m in matches]).reshape(-1, 4).sum(0)
    aps, hits = np.full(40, np.nan), np.zeros(40)
    for s in range(40):
        counted = [d for *_, d in found if not d[2] >> s & 1]
        right = np.array([d[1] >> s & 1 for d in counted], bool)
        hits[s] = right.sum()
        if truths[s // 10]:
            aps[s] = average_precision(right, int(truths[s // 10]))
    best = [
        sum((d[1] & ~d[2] & 1023).bit_count() for *_, place, d in found if place < most)
        for most in (1, 10)
    ]
    by_area = aps.reshape(4, 10).mean(1)
    recall = [
        h / (10 * t) if t else np.nan
        for h, t in zip(hits.reshape(4, 10).sum(1), truths, strict=True)
    ]
    few = [h / (10 * truths[0]) if truths[0] else np.nan for h in best]
    numbers = np.array([by_area[0], aps[0], aps[5], *by_area[1:], *few, recall[0], *recall[1:]])
    counts = [len(found), len(matches), int(truths[0])]
    return numbers, shown_of([d for *_, d in found if d[0] >= SCORE and not d[2] & 1]), counts


def shown_of(shown: list[tuple[float, int, int, float, int]]) -> FloatArray:
    right = [d for d in shown if d[1] & 1]
    by_type = [sum(d[4] == 1 + kind for d in shown) for kind in range(5)]
    return np.array([len(right), len(shown) - len(right), sum(d[3] for d in right), *by_type])


def average_precision(right: np.ndarray, truths: int) -> float:
    hits = np.cumsum(right)
    precision = hits / np.arange(1, hits.size + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(envelope[np.searchsorted(hits / truths, RECALLS)].mean())


def drawn(rng: np.random.Generator, curve: int, frame: int, revision: int, most: int) -> Match:
    """A match with scores of few values, so that ties are many."""
    count = int(rng.integers(0, most + 1))
    scores = np.sort(rng.integers(0, 20, count) / 20)[::-1]
    # Detections of a high score are right more often; in some settings they do not count.
    detections = tuple(
        (
            float(score),
            int(rng.integers(0, 1 << 40)) | int(SETTINGS * (rng.random() < score)),
            int(rng.integers(0, 1 << 40)) & int(rng.integers(0, 1 << 40)),
            float(np.float32(rng.uniform(0.5, 1))),
            int(rng.integers(0, 6)),
        )
        for score in scores
    )
    truths = tuple(int(t) for t in rng.integers(0, 2 * most, 4))
    part, captured = int(rng.integers(0, 3)), int(rng.integers(0, 3000))
    return Match(curve, frame, part, captured, revision, truths, detections)  # type: ignore[arg-type]  # four of them


def many(rng: np.random.Generator, count: int, revision: int, most: int = 12) -> list[Match]:
    return [
        drawn(rng, int(rng.integers(0, 2)), int(rng.integers(0, 200)), revision, most)
        for _ in range(count)
    ]


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(["few", "many", "slide", "back", "vanish"]), min_size=2, max_size=7),
)
def test_figures_are_those_of_a_plain_pass(seed: int, steps: list[str]) -> None:
    rng, world = np.random.default_rng(seed), World()
    for revision, step in enumerate(steps, start=1):
        if step == "few":
            world.add(many(rng, 5, revision))
        elif step == "many":
            world.add(many(rng, 150, revision))
        elif step == "slide":
            world.slide(world.until + int(rng.integers(0, 800)))
        elif step == "back":
            world.slide(world.until - int(rng.integers(0, 800)))
        else:
            gone = [m for m in world.held.values() if rng.random() < 0.5]
            world.add([replaced(m, revision) for m in gone] or many(rng, 1, revision))
        world.check()


def replaced(match: Match, revision: int) -> Match:
    """The match's frame without anything on it."""
    same = (match.curve, match.frame, match.part, match.captured)
    return Match(*same, revision, (0, 0, 0, 0), ())


def test_the_latest_time_is_that_of_the_revisions_that_are_held() -> None:
    world = World(1)
    for frame, captured, revision in ((0, 2000, 1), (1, 1000, 1), (0, 500, 2)):
        world.add([Match(0, frame, 0, captured, revision, (1, 1, 1, 1), ())])
    world.check()
    assert world.index.latest == 1000


def test_blocks_divide_and_vanish() -> None:
    rng, world = np.random.default_rng(0), World(1)
    frames = [drawn(rng, 0, frame, 1, 100) for frame in range(200)]
    detections = sum(len(match.detections) for match in frames)
    assert detections > 10 * BLOCK
    for frame in frames:
        world.add([frame])
    world.check()
    before = world.index.nbytes
    for frame in frames[::2]:
        world.add([replaced(frame, 2)])
    world.check()
    for frame in frames[1::2]:
        world.add([replaced(frame, 2)])
    world.check()
    for frame in frames:
        world.add([Match(**vars(frame) | {"revision": 3})])
    world.check()
    assert world.index.nbytes <= 1.1 * before


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_curve_whose_precision_stays_the_same_is_read_right(share: float) -> None:
    rng, world = np.random.default_rng(1), World(1)
    matches = []
    for frame in range(60):
        right = rng.random(100) < share
        detections = tuple((1.0, int(SETTINGS * r), 0, 1.0, 0) for r in right)
        matches.append(Match(0, frame, 0, 0, 1, (90, 90, 90, 90), detections))
    world.add(matches)
    world.check()

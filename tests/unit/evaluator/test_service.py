import base64
import json
import math
import struct
from collections.abc import Callable
from typing import NoReturn

import pytest
import structlog
from prometheus_client import Gauge
from structlog.testing import LogCapture

from services.contracts.codec import encode
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import Fatal
from services.contracts.events import Split
from services.contracts.identity import Category, FrameId, frame_hash
from services.contracts.matches import FrameMatched, MatchGroups, categories_of
from services.contracts.topics import MATCHES
from services.domain.metrics.subsets import Subset
from services.evaluator.live.logic import order_holds
from services.evaluator.live.service import EvaluateMatches
from services.runtime.exits import ExitCode
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.observability import detector_metrics, metrics
from services.runtime.progress import Progress, progress_of
from services.runtime.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.outbox import InMemoryOutbox
from tests.samples import frame_captured, published, revised
from tests.unit.domain.oracle import coco_eval, matched, random_frames, twelve

DETECTOR = "d@1"


def leave(code: ExitCode) -> NoReturn:
    raise AssertionError(code)


def step(store: InMemoryMatchStore, clock: FakeClock) -> EvaluateMatches:
    return EvaluateMatches(matches=store, settings=Settings(), clock=clock)


def shown(subset: str = "all") -> dict[str, float | None]:
    gauges = {
        "AP": detector_metrics.MAP,
        "AP50": detector_metrics.MAP_AP50,
        "AP75": detector_metrics.MAP_AP75,
    }
    return {name: read(gauge, detector=DETECTOR, subset=subset) for name, gauge in gauges.items()}


def read(gauge: Gauge, **labels: str) -> float | None:
    samples = [s for metric in gauge.collect() for s in metric.samples if s.labels == labels]
    return samples[0].value if samples else None


def matches_of(seed: int) -> tuple[list[FrameMatched], dict[str, float | None]]:
    frames = random_frames(seed, 15)
    expected = twelve(coco_eval(frames))
    named = {name: expected[name] for name in ("AP", "AP50", "AP75")}
    return published(match for frame in frames for match in matched(frame)), named


async def test_the_gauges_are_pycocotools_numbers() -> None:
    matches, expected = matches_of(1)
    await step(InMemoryMatchStore(), FakeClock()).run(matches)
    assert shown() == pytest.approx(expected, abs=1e-9)
    assert shown("R") == {"AP": None, "AP50": None, "AP75": None}


async def test_every_detector_shown_is_progress_of_the_batch() -> None:
    # 5,000 versions of one detector, sent by one vehicle, took longer than the stall limit.
    matches, _ = matches_of(2)
    named = [
        match.model_copy(update={"detector": f"d@{version}"})
        for version in range(7)
        for match in matches[:1]
    ]
    progress = Progress()
    with progress_of(progress):
        await step(InMemoryMatchStore(), FakeClock()).run(named)
    assert progress.steps >= 7


async def test_a_batch_that_comes_too_soon_is_shown_at_the_next_refresh() -> None:
    matches, expected = matches_of(2)
    clock = FakeClock()
    evaluator = step(InMemoryMatchStore(), clock)
    await evaluator.run(matches[:5])
    await evaluator.run(matches[5:])
    assert shown() != pytest.approx(expected, abs=1e-9)
    clock.advance(1.0)
    await evaluator.refresh()
    assert shown() == pytest.approx(expected, abs=1e-9)


async def test_a_killed_evaluator_comes_back_with_the_same_numbers() -> None:
    matches, expected = matches_of(3)
    store = InMemoryMatchStore()
    await store.record(matches)
    evaluator = step(store, FakeClock())
    await evaluator.rebuild()
    await evaluator.refresh()
    assert shown() == pytest.approx(expected, abs=1e-9)


async def test_an_evaluator_knows_the_record_before_its_first_event() -> None:
    matches, expected = matches_of(4)
    store = InMemoryMatchStore()
    await store.record(matches)
    await step(store, FakeClock()).run(matches[:1])
    assert shown() == pytest.approx(expected, abs=1e-9)


async def test_categories_that_others_own_are_not_shown() -> None:
    matches, _ = matches_of(5)
    store = InMemoryMatchStore()
    await store.record(matches)
    evaluator = step(store, FakeClock())
    await evaluator.rebuild(lambda category: category == "sign")
    await evaluator.refresh()
    assert shown_categories() == {"sign"}


async def test_a_match_that_is_anothers_by_now_is_not_shown() -> None:
    matches, _ = matches_of(5)
    evaluator = step(InMemoryMatchStore(), FakeClock())
    await evaluator.rebuild(lambda category: category == "sign")
    await evaluator.run(matches)
    assert shown_categories() == {"sign"}


SHOWN = {
    "map": detector_metrics.MAP,
    "ap50": detector_metrics.MAP_AP50,
    "ap75": detector_metrics.MAP_AP75,
    "categories": detector_metrics.MAP_CATEGORIES,
    "precision": detector_metrics.OPERATING_PRECISION,
    "recall": detector_metrics.OPERATING_RECALL,
    "f1": detector_metrics.OPERATING_F1,
    "mean_iou": detector_metrics.OPERATING_MEAN_IOU,
    "right": detector_metrics.OPERATING_TRUE_POSITIVES,
    "detections": detector_metrics.OPERATING_DETECTIONS,
    "truths": detector_metrics.EVALUATED_GROUND_TRUTHS,
}


async def test_counts_weigh_the_figures_of_two_evaluators_to_those_of_one() -> None:
    # As deploy/prometheus/rules/recording.yml does.
    matches, _ = matches_of(10)
    store = InMemoryMatchStore()
    await store.record(matches)

    async def figures(owned: Callable[[Category], bool]) -> dict[str, float]:
        evaluator = step(store, FakeClock())
        await evaluator.rebuild(owned)
        await evaluator.refresh()
        labels = {"detector": DETECTOR, "subset": "all"}
        found = {name: read(gauge, **labels) or 0.0 for name, gauge in SHOWN.items()}
        for name, gauge in (
            ("w", detector_metrics.MAP_WINDOW),
            ("n", detector_metrics.MAP_WINDOW_CATEGORIES),
        ):
            found[name] = read(gauge, window="7d", **labels) or 0.0
        return found

    one = await figures(lambda _: True)
    parts = [await figures(lambda c: c == "sign"), await figures(lambda c: c != "sign")]

    def total(name: str, by: str = "") -> float:
        return sum(part[name] * (part[by] if by else 1) for part in parts)

    assert all(part["categories"] for part in parts)
    for name in ("map", "ap50", "ap75"):
        assert total(name, "categories") / total("categories") == pytest.approx(one[name])
    assert total("w", "n") / total("n") == pytest.approx(one["w"])
    assert total("right") / total("detections") == pytest.approx(one["precision"])
    assert total("right") / total("truths") == pytest.approx(one["recall"])
    assert 2 * total("right") / (total("detections") + total("truths")) == pytest.approx(one["f1"])
    assert total("mean_iou", "right") / total("right") == pytest.approx(one["mean_iou"])


def record(match: FrameMatched, **changes: object) -> Record:
    """The match as a record, with some of it said otherwise, past all that checks it."""
    value = json.loads(encode(match))
    for name, changed in changes.items():
        (value if name in value else value["groups"])[name] = changed
    return Record(MATCHES.name, 0, 0, match.key().encode(), json.dumps(value).encode())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"scores": base64.urlsafe_b64encode(struct.pack("d", math.nan)).decode()},
            "unreadable_event",
        ),
        ({"ground_truths": [[1 << 16, 0, 0, 0]]}, "too_many_ground_truths"),
        ({"revisions": {"truth": 1 << 40}}, "revision_too_high"),
    ],
)
async def test_what_cannot_be_held_is_dead_lettered_and_its_neighbours_are_shown(
    changes: dict[str, object], reason: str
) -> None:
    matches, expected = matches_of(8)
    single = next(match for match in categories_of(matches) if len(match.scores) == 1)
    (template,) = published([single])
    bad = record(template, frame_id="bad", **changes)
    clock, outbox = FakeClock(), InMemoryOutbox()
    evaluator = step(InMemoryMatchStore(), clock)
    runner = Runner("evaluator", evaluator, outbox, Settings(), clock, exit_process=leave)
    assert await runner.process([*map(record, matches[:3]), bad, *map(record, matches[3:])])
    clock.advance(1.0)
    await evaluator.refresh()
    (letter,) = outbox.published
    assert isinstance(letter, DeadLettered)
    assert letter.reason == reason
    assert shown() == pytest.approx(expected, abs=1e-9)
    assert read(detector_metrics.EVALUATED_FRAMES, detector=DETECTOR, subset="all") == 15


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What the evaluator logs, however logs were set up before."""
    capture = LogCapture()
    log = structlog.wrap_logger(None, processors=[capture])
    monkeypatch.setattr("services.evaluator.live.service.log", log)
    return capture


async def test_a_recorded_match_that_cannot_be_held_does_not_keep_an_evaluator_from_starting(
    logged: LogCapture,
) -> None:
    matches, expected = matches_of(9)
    store = InMemoryMatchStore()
    bad = revised(matches[0], 1 << 40).model_copy(update={"frame_id": FrameId("bad")})
    await store.record([bad, *matches])
    sound, refused = len(categories_of(matches)), len(categories_of([bad]))
    evaluator = step(store, FakeClock())
    await evaluator.rebuild()
    await evaluator.refresh()
    assert shown() == pytest.approx(expected, abs=1e-9)
    (line,) = [line for line in logged.entries if line["event"] == "evaluator_rebuilt"]
    assert (line["matches"], line["refused"]) == (sound, refused)


async def test_an_evaluator_says_how_long_it_took_to_come_back(logged: LogCapture) -> None:
    class SlowStore(InMemoryMatchStore):
        async def categories(self) -> list[Category]:
            clock.advance(2.5)
            return await super().categories()

    clock = FakeClock()
    await step(SlowStore(), clock).rebuild()
    found = [line for line in logged.entries if line["event"] == "evaluator_rebuilt"]
    assert [line["seconds"] for line in found] == [2.5]
    assert read(metrics.REBUILD_SECONDS) == 2.5


def shown_categories() -> set[str]:
    return {s.labels["category"] for m in detector_metrics.CATEGORY_AP.collect() for s in m.samples}


async def test_a_figure_that_is_no_longer_defined_is_no_longer_shown() -> None:
    matches, _ = matches_of(6)
    clock = FakeClock()
    evaluator = step(InMemoryMatchStore(), clock)
    await evaluator.run(matches)
    clock.advance(1.0)
    gone = [
        m.model_copy(update={"groups": MatchGroups().with_vanished(m.groups.categories)})
        for m in matches
    ]
    await evaluator.run([revised(m, 2) for m in gone])
    assert shown() == {"AP": None, "AP50": None, "AP75": None}
    assert shown_categories() == set()


async def test_what_is_not_a_match_is_a_wiring_mistake() -> None:
    with pytest.raises(Fatal):
        await step(InMemoryMatchStore(), FakeClock()).run([frame_captured()])


@pytest.mark.parametrize(
    ("rest", "haystack", "shortlisted", "holds"),
    [(0.6, 0.5, 0.2, True), (0.4, 0.5, 0.6, False), (0.6, 0.5, None, None)],
)
def test_the_order_holds_where_shortlists_find_the_wrong(
    rest: float, haystack: float, shortlisted: float | None, holds: bool | None
) -> None:
    ap = {Subset.REST: rest, Subset.H: haystack, Subset.S: shortlisted, Subset.R: None}
    assert order_holds(ap) is holds


async def test_a_frame_that_is_shortlisted_moves_from_the_rest_to_the_shortlist() -> None:
    frames = random_frames(7, 10)
    clock = FakeClock()
    evaluator = step(InMemoryMatchStore(), clock)
    await evaluator.run(published(m for f in frames for m in matched(f, split=Split.HAYSTACK)))
    clock.advance(1.0)
    await evaluator.run(
        published(m for f in frames[:4] for m in matched(f, shortlisted=True, revision=2))
    )
    for subset, members in (("S", frames[:4]), ("H-S", frames[4:]), ("H", frames)):
        expected = twelve(coco_eval(members))
        assert shown(subset)["AP"] == pytest.approx(expected["AP"], abs=1e-9)


async def test_erased_frames_leave_the_gauges() -> None:
    matches, _ = matches_of(1)
    frames = random_frames(1, 15)
    gone = {frame.frame_id for frame in frames[:4]}
    evaluator = step(InMemoryMatchStore(), FakeClock())
    await evaluator.forget({frame_hash(frames[0].frame_id)})
    await evaluator.run(matches)
    clock = FakeClock()
    evaluator = step(InMemoryMatchStore(), clock)
    await evaluator.run(matches)
    clock.advance(60)
    await evaluator.forget({frame_hash(frame_id) for frame_id in gone})
    expected = twelve(coco_eval(frames[4:]))
    named = {name: expected[name] for name in ("AP", "AP50", "AP75")}
    assert shown() == pytest.approx(named, abs=1e-9)

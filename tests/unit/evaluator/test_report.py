import json
from collections.abc import Sequence

import pytest

from services.contracts import identity
from services.contracts.events import (
    FALSE_POSITIVES,
    Annotation,
    Detection,
    ErrorType,
    FrameAnnotated,
    PredictionsMade,
    Split,
)
from services.contracts.identity import Category, DetectorId, FrameId, ModelId
from services.contracts.matches import CategoryMatched
from services.contracts.needles import (
    Candidate,
    NeedleFound,
    NeedleRetracted,
    Provenance,
    ShortlistPublished,
)
from services.domain.detection.coco import METRICS
from services.domain.detection.operating_scores import OperatingScores
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.gauges import show_reports, show_slices
from services.evaluator.reports.report import Counts, Report
from services.evaluator.slices import SliceReport
from services.runtime.observability import detector_metrics
from tests.fakes.clock import FakeClock
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.samples import published
from tests.unit.domain.oracle import Frame, coco_eval, matched, random_frames, twelve
from tests.unit.evaluator.test_confidence import read

SIGN = Category("sign")
BOX = (10.0, 10.0, 40.0, 40.0)
COUNTS = Counts(frames=7, predictions=6, ground_truth=5, dead_letters=1)


def frame(name: str, *scores: float, right: bool, detector: str = "d") -> Frame:
    """A frame with one sign and detections on it, or far from it."""
    frame_id = FrameId(name)
    bbox = BOX if right else (200.0, 200.0, 40.0, 40.0)
    found = tuple(Detection(category=SIGN, score=score, bbox=bbox) for score in scores)
    return Frame(
        PredictionsMade(frame_id=frame_id, detector=detector, version="1", detections=found),
        FrameAnnotated(frame_id=frame_id, annotations=(Annotation(category=SIGN, bbox=BOX),)),
    )


def needle_of(match: CategoryMatched, kind: ErrorType = ErrorType.BACKGROUND) -> NeedleFound:
    return NeedleFound(
        needle_id=identity.needle_id(match.regions[0]),
        revision=1,
        frame_id=match.frame_id,
        detector=match.detector,
        category=match.category,
        region_id=match.regions[0],
        score=match.scores[0],
        bbox=match.bboxes[0],
        error_type=kind,
        captured_at=match.captured_at,
    )


def shortlist(needle: NeedleFound, matches: Sequence[CategoryMatched]) -> ShortlistPublished:
    candidates = tuple(
        Candidate(
            frame_id=match.frame_id,
            region_id=match.regions[0],
            category=match.category,
            score=match.scores[0],
            bbox=match.bboxes[0],
            similarity=0.9,
            evidence=1.0,
            drive_id=match.drive_id,
            captured_at=match.captured_at,
            image_uri="file:///x",
        )
        for match in matches
    )
    how = Provenance(model=ModelId("m"), strategy="s", size_limit=10)
    return ShortlistPublished(
        needle_id=needle.needle_id,
        revision=1,
        needle=needle,
        candidates=candidates,
        provenance=how,
    )


async def reports(
    matches: Sequence[CategoryMatched], shortlists: Sequence[ShortlistPublished] = ()
) -> list[Report]:
    match_store, needle_store = InMemoryMatchStore(), InMemoryNeedleStore()
    await match_store.record(published(matches))
    await needle_store.record([shortlist.needle for shortlist in shortlists])
    for shortlist in shortlists:
        await needle_store.write_shortlists([shortlist])
    source = Reports(match_store, needle_store, OperatingScores(0.5), FakeClock())
    return (await source.now(COUNTS)).reports


async def test_the_json_has_every_key_that_a_reader_counts_on() -> None:
    (report,) = await reports(matched(frame("f", 0.9, right=True)))
    document = json.loads(report.json_text())
    assert set(document) == {
        *("detector", "counts", "needles_by_error_type", "error_costs", "map", "order_holds"),
        *("operating", "shortlist", "calibration", "calibration_by_category", "curves"),
        *("slices", "ap_recovered", "places", "sampled", "estimated"),
    }
    assert set(document["counts"]) == {
        *("frames", "predictions", "ground_truth", "needles", "shortlists", "dead_letters"),
        *("partial_predictions", "partial_ground_truth", "copies"),
    }
    assert set(document["needles_by_error_type"]) == {kind.value for kind in FALSE_POSITIVES}
    assert list(document["map"]) == ["all", "R", "H", "S", "H-S"]
    assert all(tuple(numbers) == METRICS for numbers in document["map"].values())
    assert set(document["operating"]) == {
        *("score", "precision", "recall", "f1", "mean_iou"),
        *("true_positives", "false_positives", "false_negatives"),
    }
    assert set(document["shortlist"]) == {
        *("yield", "random_yield", "lowest_yield", "highest_yield"),
        *("lift", "lift_over_lowest", "lift_over_highest", "gain"),
        *("intervals", "confirmed", "rejected", "regions"),
    }


async def test_the_frames_of_each_tag_are_compared_with_all_others() -> None:
    store = InMemoryMatchStore()
    for number in range(70):
        wet = bool(number % 2)
        match = matched(frame(f"f{number:02d}", 0.9 - number / 1000, right=not wet))
        tags = {"weather": "rain" if wet else "dry"}
        await store.record([event.model_copy(update={"tags": tags}) for event in published(match)])
    reports = Reports(store, InMemoryNeedleStore(), OperatingScores(0.5), FakeClock())
    figures = await reports.take_in()

    rain, dry = await figures.slices(DetectorId("d@1"))

    assert (rain.key, rain.value, rain.frames, rain.worse) == ("weather", "rain", 35, True)
    assert (rain.map, dry.map, dry.worse) == (0.0, 1.0, False)
    assert (rain.recall, dry.recall) == (0.0, 1.0)


async def test_the_worst_slices_are_shown_and_replace_those_shown_before() -> None:
    def part(number: int, **pair: str) -> SliceReport:
        return SliceReport(
            key="weather",
            value=f"w{number}",
            frames=40,
            map=0.4,
            map_interval=(0.3, 0.5),
            precision=None,
            precision_interval=None,
            recall=0.6,
            recall_interval=(0.5, 0.7),
            difference=-0.1,
            p_value=0.001,
            worse=True,
            **pair,
        )

    rain, pair = part(0), part(1, and_key="road", and_value="tunnel")
    show_slices({DetectorId("d@1"): [rain, pair, *map(part, range(2, 40))]})
    shown = {"detector": "d@1", "slice": "weather=w0"}
    assert [
        read(detector_metrics.SLICE_MAP, **shown, bound=b) for b in ("value", "low", "high")
    ] == [*(0.4, 0.3, 0.5)]
    assert read(detector_metrics.SLICE_RECALL, **shown, bound="high") == 0.7
    assert read(detector_metrics.SLICE_PRECISION, **shown, bound="value") is None
    assert read(detector_metrics.SLICE_WORSE, **shown) == 1
    both = "weather=w1 and road=tunnel"
    assert read(detector_metrics.SLICE_WORSE, detector="d@1", slice=both) == 1
    assert read(detector_metrics.SLICE_WORSE, detector="d@1", slice="weather=w29") == 1
    assert read(detector_metrics.SLICE_WORSE, detector="d@1", slice="weather=w30") is None

    show_slices({DetectorId("d@1"): [pair]})
    assert read(detector_metrics.SLICE_MAP, **shown, bound="value") is None


async def test_the_map_is_pycocotools_own() -> None:
    frames = random_frames(3, 20)
    (report,) = await reports([match for frame in frames for match in matched(frame)])
    expected = twelve(coco_eval(frames))
    assert report.map["all"] == pytest.approx(expected, abs=1e-9)  # type: ignore[index]  # a StrEnum
    assert set(report.map["S"].values()) == {None}  # type: ignore[index]


async def test_the_operating_point_counts_what_is_shown() -> None:
    shown = [frame("f1", 0.9, 0.8, right=True), frame("f2", 0.7, 0.2, right=False)]
    (report,) = await reports([match for item in shown for match in matched(item)])
    operating = report.operating
    assert (operating.true_positives, operating.false_positives, operating.false_negatives) == (
        1,
        2,
        1,
    )
    assert (operating.precision, operating.recall, operating.f1, operating.mean_iou) == (
        1 / 3,
        1 / 2,
        2 / 5,
        1,
    )


async def test_shortlists_are_weighed_against_a_random_draw() -> None:
    needle = needle_of(matched(frame("r", 0.9, right=False), split=Split.REFERENCE)[0])
    wrong = [matched(frame(f"w{i}", 0.9, right=False), shortlisted=True)[0] for i in range(2)]
    right = [matched(frame(f"t{i}", 0.9, right=True))[0] for i in range(2)]
    (report,) = await reports([*wrong, *right], [shortlist(needle, wrong)])
    outcome = report.shortlist
    assert (outcome.found, outcome.random_yield, outcome.lift, outcome.gain) == (1.0, 0.5, 2.0, 1.0)
    assert (outcome.confirmed, outcome.rejected, outcome.regions) == (2, 0, 2)
    assert outcome.intervals["yield"] == pytest.approx((0.342, 1.0), abs=1e-3)  # Wilson's, of two
    assert outcome.intervals["random_yield"][0] < 0.5 < outcome.intervals["random_yield"][1]
    assert report.counts == COUNTS.model_copy(update={"needles": 1, "shortlists": 1})
    assert report.needles_by_error_type[ErrorType.BACKGROUND] == 1
    show_reports([report])
    shown = {"detector": report.detector, "draw": "random", "bound": "value"}
    assert read(detector_metrics.SHORTLIST_LIFT, **shown) == 2.0
    verdicts = {"detector": report.detector, "verdict": "confirmed"}
    assert read(detector_metrics.SHORTLIST_VERDICTS, **verdicts) == 2


async def test_a_shortlisted_region_without_ground_truth_does_not_count() -> None:
    needle = needle_of(matched(frame("r", 0.9, right=False), split=Split.REFERENCE)[0])
    unknown = matched(frame("u", 0.9, right=False))[0]
    known = matched(frame("t", 0.9, right=True))[0]
    (report,) = await reports([known], [shortlist(needle, [unknown, known])])
    assert (report.shortlist.found, report.shortlist.regions) == (0.0, 1)


async def test_a_region_that_two_needles_shortlist_counts_once() -> None:
    wrong = matched(frame("w", 0.9, right=False))[0]
    needles = [needle_of(matched(frame(f"r{i}", 0.9, right=False))[0]) for i in range(2)]
    (report,) = await reports([wrong], [shortlist(needle, [wrong]) for needle in needles])
    assert report.shortlist.regions == 1
    assert report.shortlist.gain is None  # the random draw is perfect, too


async def test_evidence_is_held_against_what_came_true_where_it_was_learnt() -> None:
    needle = needle_of(matched(frame("r", 0.9, right=False), split=Split.REFERENCE)[0])
    haystack = [matched(frame(f"h{i}", 0.9, right=i > 0))[0] for i in range(4)]
    listed = shortlist(needle, haystack)
    learnt = listed.provenance.model_copy(update={"method": "logistic"})
    (guessed,) = await reports(haystack, [listed])
    (report,) = await reports(haystack, [listed.model_copy(update={"provenance": learnt})])

    # Evidence is 1 for each, and one of four fails as the needle does.
    assert (guessed.calibration.count, guessed.calibration.error) == (0, None)
    calibration = report.calibration
    assert calibration.model_dump(by_alias=True) == {
        "error": 0.75,
        "error_by_chance": 0.0,
        "said": 1.0,
        "came_true": 0.25,
        "count": 4,
    }
    assert report.calibration_by_category == {SIGN: calibration}
    show_reports([report])
    shown = {"detector": report.detector, "category": SIGN}
    assert read(detector_metrics.SHORTLIST_CALIBRATION_ERROR, **shown) == 0.75
    assert read(detector_metrics.SHORTLIST_CALIBRATION_COUNT, **shown) == 4


async def test_a_retracted_needle_leaves_the_report() -> None:
    match = matched(frame("r", 0.9, right=False), split=Split.REFERENCE)[0]
    needle = needle_of(match)
    retracted = NeedleRetracted(
        **needle.model_dump(include={"needle_id", "frame_id", "detector", "category"}), revision=2
    )
    match_store, needle_store = InMemoryMatchStore(), InMemoryNeedleStore()
    await match_store.record(published([match]))
    await needle_store.record([needle, retracted])
    source = Reports(match_store, needle_store, OperatingScores(0.5), FakeClock())
    (report,) = (await source.now(COUNTS)).reports
    assert (report.counts.needles, report.counts.shortlists) == (0, 0)


async def test_each_detector_has_its_own_report() -> None:
    one, two = frame("f", 0.9, right=True), frame("f", 0.9, right=False, detector="e")
    first, second = await reports([*matched(one), *matched(two)])
    assert (first.detector, second.detector) == ("d@1", "e@1")
    assert first.operating.true_positives == second.operating.false_positives == 1


async def test_without_matches_there_is_nothing_to_report() -> None:
    assert await reports([]) == []

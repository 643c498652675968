"""What is read of the stores to estimate precision where nothing is annotated."""

import pytest

from services.contracts.events import Split
from services.contracts.identity import DetectorId
from services.contracts.matches import CategoryMatch, MatchGroups
from services.domain.metrics.estimated_precision import EstimatedSlice, EstimatedStream
from services.domain.statistics.resampling import Interval
from services.retriever import stream_sample
from services.retriever.estimate_gauges import clear_estimates, show_estimates
from services.retriever.stream_sample import StreamSample
from services.runtime.observability import detector_metrics
from services.runtime.settings import Settings
from tests import samples
from tests.unit.evaluator.test_confidence import read
from tests.unit.retriever.test_service import World


async def world(annotated: int = 120, other: int = 60) -> World:
    """Regions that are wrong where their vector points up; every other frame's does."""
    made = World()
    for n in range(annotated):
        up = n % 2 == 1
        await made.embed(f"r{n}", 1.5 * up + 0.001 * n, split="reference", drive=f"d{n // 4}")
        await made.annotate(f"r{n}", right=not up)
    for n in range(other):
        await made.embed(f"h{n}", 1.5 * (n % 3 == 0) + 0.001 * n, drive=f"e{n // 4}")
    return made


async def estimates(made: World, **settings: float | str) -> dict[DetectorId, EstimatedStream]:
    chosen = Settings(**settings)  # type: ignore[arg-type]  # pydantic checks
    return await StreamSample(made.frames, made.matches, made.vectors, chosen).estimates()


async def test_precision_is_estimated_on_the_frames_that_are_not_annotated() -> None:
    found = (await estimates(await world()))[samples.DETECTOR]
    whole, vehicle = found.slices[0], found.slices[1]
    assert (whole.name, whole.frames, whole.detections) == ("all", 60, 60)
    assert whole.precision == pytest.approx(2 / 3, abs=0.05)
    assert vehicle.name == "vehicle=v1"
    assert whole.interval is not None
    assert whole.interval.low < 2 / 3 < whole.interval.high


async def test_every_correction_goes_into_the_next_estimate() -> None:
    made = await world()
    for n in range(0, 60, 3):
        await made.correct(f"h{n}", right=True)
    found = (await estimates(made))[samples.DETECTOR]
    # What looks wrong is right in a quarter of cases now, and 40 frames are left, all the others.
    whole = found.slices[0]
    assert whole.frames == 40
    assert whole.precision == pytest.approx(0.95, abs=0.06)
    assert found.reference is not None
    assert found.reference.value == 0.5


async def test_a_correction_that_is_undone_leaves_its_frame_not_annotated() -> None:
    made = await world()
    before = await estimates(made)
    corrected = await made.correct("h0", right=True)
    assert (await estimates(made))[samples.DETECTOR].slices[0].frames == 59
    (rows,) = corrected.groups.categories
    await made.matches.record(
        [
            samples.revised(corrected, 3).model_copy(
                update={"groups": MatchGroups.of({rows: CategoryMatch()})}
            )
        ]
    )
    assert await estimates(made) == before


async def test_ground_truth_of_the_haystack_is_not_used() -> None:
    made = await world()
    before = await estimates(made)
    for n in range(60):
        await made.annotate(f"h{n}", right=False, split=Split.HAYSTACK)
    assert await estimates(made) == before


async def test_detections_below_the_operating_score_are_examples_and_are_not_counted() -> None:
    made = await world()
    assert (await estimates(made, operating_score=0.95)) == {}
    assert (await estimates(made, operating_score_of=f"{samples.STOP_SIGN}=.95")) == {}


async def test_nothing_is_estimated_before_anything_is_embedded() -> None:
    assert await estimates(World()) == {}


async def test_what_is_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await world()
    monkeypatch.setitem(stream_sample.MAX_FRAMES, Split.HAYSTACK, 20)
    assert (await estimates(made))[samples.DETECTOR].slices[0].frames == 20
    monkeypatch.setitem(stream_sample.MAX_REGIONS, False, 5)
    assert (await estimates(made))[samples.DETECTOR].slices[0].detections == 5
    monkeypatch.setitem(stream_sample.MAX_REGIONS, True, 5)
    assert await estimates(made) == {}


async def test_a_detectors_regions_count_beside_those_of_another_that_has_no_vectors() -> None:
    made = await world()
    for n in range(60, 70):
        earlier = samples.predictions_made(samples.detection(), frame_id=f"h{n}", version="0")
        await made.frames.record([earlier])
        await made.embed(f"h{n}", 1.5)
    found = await estimates(made)
    assert list(found) == [samples.DETECTOR]
    assert found[samples.DETECTOR].slices[0].detections == 70


async def test_copies_are_left_out() -> None:
    made = await world()
    original = samples.frame_captured("h0")
    copy = samples.frame_captured("h60").model_copy(update={"image": original.image})
    await made.embed("h60", 1.5, captured=copy)
    assert (await estimates(made))[samples.DETECTOR].slices[0].frames == 60
    assert (await estimates(made, count_copies=True))[samples.DETECTOR].slices[0].frames == 61


def test_gauges_show_the_bounds_that_there_are_and_nothing_else() -> None:
    honest = EstimatedSlice(
        None, 9, 90, 0.8, Interval(0.8, 0.7, 0.9), None, Interval(0.1, 0.0, 0.3)
    )
    unsure = EstimatedSlice(("weather", "fog"), 3, 30, 0.6, None, None, None)
    unlike = EstimatedSlice(("vehicle", "v9"), 3, 90, None, None, None, Interval(0.5, 0.4, 0.6))
    detector = DetectorId("estimated@1")
    slices = [honest, unsure, unlike]
    show_estimates({detector: EstimatedStream(Interval(0.9, 0.85, 0.95), slices)})
    names = ("all", "weather=fog", "vehicle=v9")
    whole, fog, v9 = ({"detector": detector, "slice": name} for name in names)
    assert read(detector_metrics.ESTIMATED_PRECISION, **whole, bound="high") == 0.9
    assert read(detector_metrics.EMBEDDING_DRIFT, **whole, bound="low") == 0.0
    assert read(detector_metrics.ESTIMATED_PRECISION, **fog, bound="value") == 0.6
    assert read(detector_metrics.ESTIMATED_PRECISION, **fog, bound="high") is None
    assert read(detector_metrics.EMBEDDING_DRIFT, **fog, bound="value") is None
    assert read(detector_metrics.ESTIMATED_PRECISION, **v9, bound="value") is None
    assert read(detector_metrics.EMBEDDING_DRIFT, **v9, bound="low") == 0.4
    assert read(detector_metrics.REFERENCE_PRECISION, detector=detector, bound="low") == 0.85
    clear_estimates()
    assert read(detector_metrics.ESTIMATED_PRECISION, **whole, bound="high") is None

"""What errors cost, from stored frames: that of the domain's function, for each detector."""

from services.contracts.events import ErrorType
from services.domain.metrics.error_costs import Cost, error_costs
from services.evaluator.reports.costs import StoredErrorCosts
from services.evaluator.reports.gauges import show_error_costs
from services.runtime.observability import detector_metrics
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore

ELSEWHERE = samples.detection(score=0.95, bbox=(300.0, 300.0, 20.0, 20.0))


async def test_each_detector_has_its_own_costs() -> None:
    truths = [
        samples.frame_annotated(samples.annotation(), frame_id=f"f{number}") for number in range(3)
    ]
    right = samples.detection(score=0.6)
    detection_of = {"1": samples.detection("billboard", 0.9), "2": ELSEWHERE}
    made = [
        samples.predictions_made(right, shown, frame_id=f"f{number}", version=version)
        for number in range(2)
        for version, shown in detection_of.items()
    ]
    frames = InMemoryFrameStore()
    await frames.record([*truths, *made])

    outcome = await StoredErrorCosts(frames, InMemoryMatchStore(), FakeClock()).now()

    assert len(outcome) == 2
    for detector, costs in outcome.items():
        own = [predictions for predictions in made if predictions.detector_id == detector]
        assert costs == error_costs(zip(own, truths, strict=False))
    assert len({costs.costs[ErrorType.BACKGROUND] for costs in outcome.values()}) == 2


async def test_what_does_not_count_costs_nothing_until_it_is_cured() -> None:
    frames, matches, clock = InMemoryFrameStore(), InMemoryMatchStore(), FakeClock()
    found = [ELSEWHERE, samples.detection(), samples.detection(score=0.3)]
    for number in range(3):
        captured = samples.frame_captured(f"f{number}")
        # The last one is a copy of the first.
        if number == 2:
            image = samples.frame_captured("f0").image
            captured = captured.model_copy(update={"image": image})
        await frames.record(
            [
                captured,
                samples.frame_annotated(
                    samples.annotation(), frame_id=f"f{number}", complete=number != 1
                ),
                samples.predictions_made(*found[: 3 - number], frame_id=f"f{number}"),
            ]
        )
    first = samples.predictions_made(*found, frame_id="f0")
    truth = samples.frame_annotated(samples.annotation(), frame_id="f0")
    second = samples.predictions_made(*found[:2], frame_id="f1")
    costs = StoredErrorCosts(frames, matches, clock)

    assert await costs.now() == {samples.DETECTOR: error_costs([(first, truth)])}

    later = samples.frame_annotated(frame_id="f0", revision=2, complete=False)
    cured = samples.frame_annotated(samples.annotation(), frame_id="f1", revision=2)
    await frames.record([later, cured])
    await matches.record([samples.frame_matched("f0"), samples.frame_matched("f1")])

    assert await costs.now() == {samples.DETECTOR: error_costs([(second, cured)])}
    everything = StoredErrorCosts(frames, matches, clock, count_copies=True)
    assert await everything.now() != await costs.now()


async def test_the_detector_of_what_is_redacted_is_not_evaluated() -> None:
    frames, own = InMemoryFrameStore(), samples.predictions_made(ELSEWHERE)
    privacy = own.model_copy(update={"detector": "privacy"})
    await frames.record([samples.frame_annotated(samples.annotation()), own, privacy])

    costs = StoredErrorCosts(frames, InMemoryMatchStore(), FakeClock(), redacting="privacy")

    assert (await costs.now()).keys() == {own.detector_id}


async def test_costs_are_shown_by_kind() -> None:
    frames = InMemoryFrameStore()
    made = samples.predictions_made(ELSEWHERE, samples.detection())
    await frames.record([samples.frame_annotated(samples.annotation()), made])

    show_error_costs(await StoredErrorCosts(frames, InMemoryMatchStore(), FakeClock()).now())

    shown = {
        sample.labels["error_type"]: sample.value
        for family in detector_metrics.ERROR_COST.collect()
        for sample in family.samples
        if sample.labels["detector"] == made.detector_id
    }
    assert shown == dict.fromkeys((*ErrorType, *Cost), 0.0) | {
        ErrorType.BACKGROUND: 0.5,
        Cost.FALSE_POSITIVES: 0.5,
    }

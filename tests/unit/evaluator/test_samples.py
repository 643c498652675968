"""Samples of stored haystack frames, and estimates from them."""

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated, PredictionsMade, Sampling, Split
from services.contracts.identity import DetectorId, FrameId
from services.contracts.matches import MatchGroups, MatchRevisions
from services.contracts.needles import ShortlistPublished
from services.domain.detection.operating_scores import OperatingScores
from services.domain.splits import SplitRule
from services.domain.statistics.sampling import permanent_number
from services.domain.withdrawal import withdrawn
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.gauges import show_reports
from services.evaluator.reports.report import Counts
from services.evaluator.samples.campaigns import SampleCampaigns
from services.evaluator.samples.report import DrawnSample
from services.runtime.observability import detector_metrics
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.unit.domain.oracle import Frame, matched
from tests.unit.evaluator.test_confidence import read

DETECTOR = DetectorId("ods@1")
COUNTS = Counts(frames=0, predictions=0, ground_truth=0)
RIGHT = samples.detection()
WRONG = samples.detection(bbox=(300.0, 300.0, 20.0, 20.0))
RULE = SplitRule(0.1, by_frame=True)


def names(count: int, split: Split = Split.HAYSTACK) -> list[str]:
    """The first frames of a split."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        name = f"f{number:04d}"
        if RULE.split_of(FrameId(name), None) is split:
            found.append(name)
        number += 1
    return found


class World:
    """A haystack in memory: of four frames, one has a false positive; every ninth is empty."""

    def __init__(self) -> None:
        self.frames, self.matches = InMemoryFrameStore(), InMemoryMatchStore()
        self.campaigns = SampleCampaigns(self.frames, self.matches, RULE, OperatingScores(0.5))

    async def predict(self, frame_ids: list[str]) -> None:
        for name in frame_ids:
            await self.frames.record([samples.frame_captured(name, None), self.made(name)])

    def made(self, name: str) -> PredictionsMade:
        number = int(name[1:])
        found = () if number % 9 == 0 else (RIGHT, *[WRONG] * (number % 4 == 0))
        return samples.predictions_made(*found, frame_id=name)

    async def annotate(self, frame_ids: list[str], shortlisted: frozenset[str]) -> None:
        found = []
        for name in frame_ids:
            truth = self.truth(name)
            await self.frames.record([truth])
            frame = Frame(self.made(name), truth)
            found += matched(frame, shortlisted=name in shortlisted)
        await self.matches.record(samples.published(found))

    async def replace(self, fact: FrameAnnotated | PredictionsMade) -> None:
        """Store a later part of a matched frame, of which nothing is left to match."""
        await self.frames.record([fact])
        (before,) = samples.published(await self.matches.load([fact.frame_id]))
        revisions = MatchRevisions(truth=fact.revision, predictions=1)
        emptied = {"revisions": revisions, "groups": MatchGroups()}
        await self.matches.record([before.model_copy(update=emptied)])

    def truth(self, name: str) -> FrameAnnotated:
        there = () if int(name[1:]) % 9 == 0 else (samples.annotation(),)
        return samples.frame_annotated(*there, frame_id=name)


async def test_a_campaign_draws_the_same_haystack_frames_whenever_it_is_asked() -> None:
    world = World()
    haystack, reference = names(200), names(20, Split.REFERENCE)
    await world.predict([*haystack, *reference])

    june = await world.campaigns.draw("june", DETECTOR, 60)
    july = await world.campaigns.draw("july", DETECTOR, 60)

    assert june.haystack == 200
    assert june == await world.campaigns.draw("june", DETECTOR, 60)
    assert june.frames != july.frames
    assert set(june.frames) <= set(haystack)
    assert 35 < len(june.frames) < 85
    assert sum(june.frames.values()) < 60


async def test_a_detector_without_predictions_has_nothing_to_draw() -> None:
    with pytest.raises(InvalidRecord, match="no haystack frame has predictions of other@1"):
        await World().campaigns.draw("june", DetectorId("other@1"), 10)


async def test_drawn_frames_correct_what_chosen_frames_make_of_the_figures() -> None:
    world = World()
    haystack = names(400)
    await world.predict(haystack)
    sample = await world.campaigns.draw("may", DETECTOR, 120)
    wrong = [name for name in haystack if int(name[1:]) % 4 == 0 and int(name[1:]) % 9]
    chosen = frozenset(wrong[:60])
    drawn = [str(frame_id) for frame_id in sample.frames]
    await world.annotate(sorted({*chosen, *drawn[3:]}), chosen)

    report = await world.campaigns.estimate(sample)

    shown = sum(len(world.made(name).detections) for name in haystack)
    objects = sum(len(world.truth(name).annotations) for name in haystack)
    precision = report.precision
    assert precision.estimate == pytest.approx(objects / shown, abs=0.04)
    assert precision.naive is not None
    assert precision.naive < objects / shown - 0.05
    assert precision.interval is not None
    assert precision.interval[0] < objects / shown < precision.interval[1]
    assert report.recall.estimate == pytest.approx(1)
    assert report.recall.interval is None, "nothing was missed, so nothing says how much might be"
    assert report.chosen == 60
    assert report.awaited == len({*drawn[:3]} - chosen)
    assert report.lift.estimate == pytest.approx(0.5 / (1 - precision.estimate))  # type: ignore[operator]  # it is known
    assert report.lift.naive is not None
    assert report.lift.naive < report.lift.estimate  # type: ignore[operator]


async def test_annotated_frames_whose_matches_are_not_stored_yet_do_not_count_as_empty() -> None:
    world = World()
    haystack = names(400)
    await world.predict(haystack)
    sample = await world.campaigns.draw("may", DETECTOR, 120)
    late, *early = (str(name) for name in sorted(sample.frames) if int(name[1:]) % 9)
    await world.annotate(early, frozenset())
    before = await world.campaigns.estimate(sample)

    await world.frames.record([world.truth(late)])

    assert await world.campaigns.estimate(sample) == before


async def test_a_drawn_frame_whose_ground_truth_was_withdrawn_is_not_annotated() -> None:
    world, never = World(), World()
    for one in (world, never):
        await one.predict(names(400))
    sample = await world.campaigns.draw("may", DETECTOR, 120)
    drawn = sorted(str(frame_id) for frame_id in sample.frames)
    undone = [name for name in drawn if int(name[1:]) % 9][:20]
    chosen = frozenset(undone[:5])
    await world.annotate(drawn, chosen)
    await never.annotate(sorted({*drawn} - {*undone}), frozenset())

    for name in undone:
        truth = withdrawn(world.truth(name)).model_copy(update={"revision": 2})
        await world.replace(truth)

    found = await world.campaigns.estimate(sample)
    assert found == await never.campaigns.estimate(sample)
    assert found.awaited == 20


async def test_a_drawn_frame_of_which_nothing_counts_any_more_is_annotated_and_empty() -> None:
    world, never = World(), World()
    for one in (world, never):
        await one.predict(names(400))
    sample = await world.campaigns.draw("may", DETECTOR, 120)
    drawn = sorted(str(frame_id) for frame_id in sample.frames)
    empty = [name for name in drawn if not int(name[1:]) % 9]
    await never.annotate(drawn, frozenset())
    await world.annotate(sorted({*drawn} - {*empty}), frozenset())
    crowd = samples.annotation().model_copy(update={"crowd": True})
    for name in empty:
        before = samples.frame_annotated(samples.annotation(), frame_id=name)
        await world.frames.record([before])
        await world.matches.record(samples.published(matched(Frame(world.made(name), before))))
        await world.replace(samples.frame_annotated(crowd, frame_id=name, revision=2))

    found = await world.campaigns.estimate(sample)

    assert empty
    assert found == await never.campaigns.estimate(sample)
    assert found.awaited == 0


async def test_a_sample_says_what_all_frames_show_which_an_estimate_uses() -> None:
    world = World()
    haystack = names(300)
    await world.predict(haystack)
    sample = await world.campaigns.draw("june", DETECTOR, 100)
    await world.annotate(sorted(sample.frames), frozenset())
    found = await world.campaigns.estimate(sample)

    scores = [d.score for name in haystack for d in world.made(name).detections]
    (shown,) = sample.shown.values()
    assert (shown.operating_score, shown.detections) == (0.5, len(scores))
    assert shown.summed_scores == pytest.approx(sum(scores))
    without = await world.campaigns.estimate(sample.model_copy(update={"shown": {}}))
    assert found.precision != without.precision
    before = {c: s.model_copy(update={"operating_score": 0.4}) for c, s in sample.shown.items()}
    assert without == await world.campaigns.estimate(sample.model_copy(update={"shown": before}))


async def test_too_few_annotated_frames_give_no_estimate() -> None:
    world = World()
    await world.predict(names(50))
    sample = await world.campaigns.draw("june", DETECTOR, 20)
    with pytest.raises(InvalidRecord, match="drawn frames are annotated: too few"):
        await world.campaigns.estimate(sample)


def needle_with(drawn: dict[str, float]) -> ShortlistPublished:
    """A shortlist that has these frames because they were drawn."""
    candidates = [
        samples.candidate(name).model_copy(
            update={"sampling": Sampling(campaign="shortlists-0", probability=probability)}
        )
        for name, probability in drawn.items()
    ]
    shortlist = samples.shortlist_published(samples.needle_found("needle"))
    return shortlist.model_copy(update={"candidates": tuple(candidates)})


async def test_a_report_estimates_the_haystack_from_the_drawn_frames_of_shortlists() -> None:
    world, needles = World(), InMemoryNeedleStore()
    haystack = [name for name in names(450) if int(name[1:]) % 9]
    chosen = frozenset([name for name in haystack if int(name[1:]) % 4 == 0][:60])
    drawn = {
        name: 0.3 for name in haystack if name not in chosen and permanent_number("c", name) < 0.3
    }
    awaited = sorted(drawn)[:5]
    await world.annotate(sorted(chosen | drawn.keys() - set(awaited)), chosen)
    shortlist = needle_with(drawn)
    await needles.record([shortlist.needle])
    await needles.write_shortlists([shortlist])
    reports = Reports(world.matches, needles, OperatingScores(0.5), FakeClock())
    (report,) = (await reports.now(COUNTS)).reports

    found = report.sampled

    shown = sum(len(world.made(name).detections) for name in haystack)
    assert found is not None
    assert (found.chosen, found.awaited, found.drawn) == (60, 5, len(drawn) - 5)
    assert found.haystack == pytest.approx(len(haystack), rel=0.15)
    precision = found.precision
    assert precision.naive is not None
    assert precision.naive < len(haystack) / shown - 0.05
    assert precision.estimate == pytest.approx(len(haystack) / shown, abs=0.04)
    assert precision.interval is not None
    assert precision.interval[0] < len(haystack) / shown < precision.interval[1]
    assert report.shortlist.regions == 0
    show_reports([report])
    shown_as = {"detector": report.detector, "figure": "precision", "bound": "low"}
    assert read(detector_metrics.HAYSTACK_ESTIMATE, **shown_as) == precision.interval[0]
    show_reports([report.model_copy(update={"sampled": None})])
    assert read(detector_metrics.HAYSTACK_ESTIMATE, **shown_as) is None


async def test_frames_that_were_sure_to_be_drawn_are_drawn_ones_too() -> None:
    world, needles = World(), InMemoryNeedleStore()
    haystack = [name for name in names(90) if int(name[1:]) % 9]
    drawn = {name: 1.0 if number % 2 else 0.8 for number, name in enumerate(haystack)}
    shortlist = needle_with(drawn)
    await needles.record([shortlist.needle])
    await needles.write_shortlists([shortlist])
    reports = Reports(world.matches, needles, OperatingScores(0.5), FakeClock())

    await world.annotate(haystack, frozenset())
    (report,) = (await reports.now(COUNTS)).reports

    found = report.sampled
    assert found is not None
    assert (found.chosen, found.awaited, found.drawn) == (0, 0, len(haystack))
    assert found.haystack == round(sum(1 / probability for probability in drawn.values()))


async def test_a_report_without_enough_annotated_draws_estimates_nothing() -> None:
    world, needles = World(), InMemoryNeedleStore()
    shortlist = needle_with(dict.fromkeys(names(20), 0.2))
    await needles.record([shortlist.needle])
    await needles.write_shortlists([shortlist])
    reports = Reports(world.matches, needles, OperatingScores(0.5), FakeClock())
    (before,) = (await reports.now(COUNTS)).reports
    await world.annotate(names(20), frozenset())
    (after,) = (await reports.now(COUNTS)).reports
    assert (before.sampled, after.sampled) == (None, None)


def test_a_sample_is_read_as_it_was_printed() -> None:
    sample = DrawnSample(
        campaign="june", detector=DETECTOR, haystack=9, expected=2, frames={FrameId("f"): 0.25}
    )
    assert DrawnSample.model_validate_json(sample.model_dump_json(indent=2)) == sample

"""Stored detector versions, compared on the frames that both processed."""

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.events import (
    REANNOTATION_SOURCE,
    Detection,
    FrameAnnotated,
    PredictionsMade,
    Split,
)
from services.contracts.identity import DetectorId, FamilyId, FrameId, NeedleId, needle_id
from services.contracts.matches import CategoryMatched, MatchGroups, MatchRevisions
from services.contracts.needles import Candidate, NeedleFound, Provenance, ShortlistPublished
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.ap_changes import ApChange, SliceChange
from services.domain.metrics.changes import Change
from services.evaluator.versions.reading import StoredVersions
from services.evaluator.versions.report import ComparisonReport, Frames, SliceChangeReport
from tests import samples
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.unit.domain.oracle import Frame, matched

OLD, NEW = DetectorId("ods@1"), DetectorId("ods@2")
GHOST = samples.detection(bbox=(300.0, 300.0, 20.0, 20.0))
FAMILY = FamilyId("family")


class World:
    """Frames of two versions in memory."""

    def __init__(self) -> None:
        self.frames = InMemoryFrameStore()
        self.matches = InMemoryMatchStore()
        self.needles = InMemoryNeedleStore()
        self.families: dict[DetectorId, dict[NeedleId, FamilyId]] = {OLD: {}, NEW: {}}

    async def put(
        self,
        name: str,
        old: tuple[Detection, ...] | None,
        new: tuple[Detection, ...] | None,
        *,
        truth: FrameAnnotated | None = None,
        split: Split = Split.REFERENCE,
        complete: bool = True,
    ) -> list[CategoryMatched]:
        truth = truth or samples.frame_annotated(frame_id=name)
        found = []
        await self.frames.record([samples.frame_captured(name), truth])
        for number, detections in (("1", old), ("2", new)):
            if detections is None:
                continue
            made = samples.predictions_made(
                *detections, frame_id=name, version=number, complete=complete or number == "1"
            )
            await self.frames.record([made])
            if made.complete:
                found += matched(Frame(made, truth), split=split)
        await self.matches.record(samples.published(found))
        return found

    async def replace(self, name: str, made: PredictionsMade, truth: FrameAnnotated) -> None:
        """Store later predictions of a matched frame, of which nothing is left to match."""
        await self.frames.record([made])
        revisions = MatchRevisions(truth=truth.revision, predictions=made.revision)
        (before,) = samples.published(
            match
            for match in await self.matches.load([FrameId(name)])
            if match.detector == made.detector_id
        )
        emptied = {"revisions": revisions, "groups": MatchGroups()}
        await self.matches.record([before.model_copy(update=emptied)])

    def versions(self) -> StoredVersions:
        async def families_of(detector: DetectorId) -> dict[NeedleId, FamilyId]:
            return self.families[detector]

        return StoredVersions(
            self.frames, self.matches, self.needles, families_of, OperatingScores(0.5)
        )

    async def compare(self, frames_of: Frames = "reference") -> ComparisonReport:
        return await self.versions().compare(OLD, NEW, frames_of)


async def test_a_frame_without_objects_counts_though_the_new_version_finds_nothing_there() -> None:
    world = World()
    for k in range(7):
        await world.put(f"f{k}", (GHOST,), ())
    await world.put("only-old", (GHOST,), None)
    await world.put("partial", (GHOST,), (GHOST,), complete=False)

    report = await world.compare()

    assert report.frames == 7
    assert report.summary[Change.FIXED] == 1
    (family,) = report.families
    assert (family.old, family.new, len(family.improved_frames)) == (7, 0, 7)
    assert report.untested == 0
    assert report.sentence == "ods@2 fixes 1 failure mode, breaks 0"


@pytest.mark.parametrize("later", [{"withdrawn": True}, {}], ids=["undone", "incomplete"])
async def test_a_version_fixes_nothing_where_its_predictions_no_longer_count(
    later: dict[str, bool],
) -> None:
    world = World()
    truth = samples.frame_annotated(frame_id="f0")
    for k in range(8):
        await world.put(f"f{k}", (GHOST,), (GHOST,))
    for k in range(7):
        made = samples.predictions_made(
            frame_id=f"f{k}", version="2", revision=2, complete=False
        ).model_copy(update=later)
        await world.replace(f"f{k}", made, truth)

    report = await world.compare()

    assert report.frames == 1
    assert report.summary[Change.FIXED] == 0


async def test_a_version_that_detects_nothing_any_more_fixes_what_was_wrong() -> None:
    world = World()
    for k in range(7):
        truth = samples.frame_annotated(
            samples.annotation().model_copy(update={"crowd": True}), frame_id=f"f{k}"
        )
        await world.put(f"f{k}", (GHOST,), (GHOST,), truth=truth)
        made = samples.predictions_made(frame_id=f"f{k}", version="2", revision=2)
        await world.replace(f"f{k}", made, truth)

    report = await world.compare()

    assert report.frames == 7
    assert report.summary[Change.FIXED] == 1


async def test_a_frame_whose_match_is_not_stored_yet_is_not_processed() -> None:
    world = World()
    await world.put("f", (GHOST,), (GHOST,))
    await world.put("late", (GHOST,), None)
    await world.frames.record([samples.predictions_made(GHOST, frame_id="late", version="2")])
    assert (await world.compare()).frames == 1


async def test_a_family_that_changed_on_few_frames_is_not_tested() -> None:
    world = World()
    for k in range(2):
        await world.put(f"f{k}", (GHOST,), ())
    report = await world.compare()
    assert (report.untested, report.summary[Change.SAME]) == (1, 1)


async def test_a_family_that_did_not_change_needs_no_test() -> None:
    world = World()
    await world.put("f", (GHOST,), (GHOST,))
    assert (await world.compare()).untested == 0


def test_the_report_of_a_slice_names_its_tag() -> None:
    ap = ApChange(0.5, 0.6, None, None, Change.SAME)
    found = SliceChangeReport.of(SliceChange(("weather", "rain"), 5, ap))
    assert (found.key, found.value, found.frames) == ("weather", "rain", 5)
    assert (found.ap.old, found.ap.new) == (0.5, 0.6)


async def test_haystack_frames_count_only_if_all_are_asked_for() -> None:
    world = World()
    await world.put("r", (GHOST,), (GHOST,))
    await world.put("h", (GHOST,), (), split=Split.HAYSTACK)
    assert (await world.compare()).frames == 1
    assert (await world.compare("all")).frames == 2


async def test_versions_without_a_common_frame_cannot_be_compared() -> None:
    world = World()
    await world.put("f", (GHOST,), None)
    with pytest.raises(InvalidRecord, match="predictions of both ods@1 and ods@2"):
        await world.compare()


async def test_a_family_costs_what_re_annotating_its_shortlists_took() -> None:
    world = World()
    real, box = samples.annotation(), samples.detection()
    needles = []
    for k in range(8):
        truth = samples.frame_annotated(real, frame_id=f"r{k}")
        matches = await world.put(f"r{k}", (box, GHOST), (box,), truth=truth)
        needles.append(_needle(matches[0]))
    await world.needles.record(needles)
    world.families[OLD] = {needle.needle_id: FAMILY for needle in needles}
    listed = [f"h{k}" for k in range(3)]
    for name, seconds in zip(listed, (60.0, 120.0, None), strict=True):
        truth = samples.frame_annotated(real, real, frame_id=name).model_copy(
            update={"annotation_source": REANNOTATION_SOURCE, "lead_time_s": seconds}
        )
        await world.put(name, (GHOST,), None, truth=truth, split=Split.HAYSTACK)
    await world.needles.write_shortlists([_shortlist(needles[0], [*listed, "unanswered"])])

    report = await world.compare()

    (family,) = [part for part in report.families if part.family == FAMILY]
    assert family.change is Change.FIXED
    assert family.cost == report.campaign
    assert family.cost is not None
    assert (family.cost.frames, family.cost.boxes, family.cost.timed_frames) == (3, 6, 2)
    hours = 3 * 90 / 3600
    assert family.cost.hours == pytest.approx(hours)
    assert family.ap_gain_per_hour == pytest.approx(family.ap_gain / hours)
    assert report.sentence == "ods@2 fixes 1 family, breaks 0"


async def test_a_version_compared_with_itself_changed_nothing() -> None:
    world = World()
    await world.put("f", (GHOST,), None)
    report = await world.versions().compare(OLD, OLD, "reference")
    assert (report.frames, report.summary[Change.SAME]) == (1, 1)


async def test_a_gate_asks_for_evidence_that_not_more_is_lost() -> None:
    world = World()
    real, box = samples.annotation(), samples.detection()
    for k in range(12):
        truth = samples.frame_annotated(real, frame_id=f"f{k}")
        await world.put(f"f{k}", (box,), (box, GHOST) if k < 8 else (), truth=truth)
    report = await world.compare()
    assert report.map.interval is not None
    loss = -report.map.interval[0]
    assert report.objections(loss + 1e-9) == []
    (reason,) = report.objections(0.01)
    assert "0.01 is allowed" in reason
    (broken,) = report.objections(1.0, 0)
    assert broken == "1 failure mode worse or broken, and 0 allowed"


async def test_a_gate_does_not_pass_where_map_is_undefined() -> None:
    world = World()
    await world.put("f", (GHOST,), (GHOST,))
    assert (await world.compare()).objections(1.0) == [
        "mAP is undefined: no frame of both has ground truth"
    ]


def _needle(match: CategoryMatched) -> NeedleFound:
    place = next(k for k, error in enumerate(match.errors) if error is not None)
    error = match.errors[place]
    assert error is not None
    return NeedleFound(
        needle_id=needle_id(match.regions[place]),
        revision=1,
        frame_id=match.frame_id,
        detector=match.detector,
        category=match.category,
        region_id=match.regions[place],
        score=match.scores[place],
        bbox=match.bboxes[place],
        error_type=error,
        captured_at=match.captured_at,
    )


def _shortlist(needle: NeedleFound, frames: list[str]) -> ShortlistPublished:
    return ShortlistPublished(
        needle_id=needle.needle_id,
        revision=1,
        needle=needle,
        candidates=tuple(
            Candidate(
                frame_id=FrameId(name),
                region_id=needle.region_id,
                category=needle.category,
                score=0.9,
                bbox=needle.bbox,
                similarity=0.9,
                evidence=1.0,
                captured_at=needle.captured_at,
                image_uri="file:///x",
            )
            for name in frames
        ),
        provenance=Provenance(model=samples.MODEL, strategy="s", size_limit=10),
    )

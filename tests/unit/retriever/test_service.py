import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.contracts import identity
from services.contracts.errors import Fatal, StoreUnavailable
from services.contracts.events import (
    ErrorType,
    Event,
    FrameAnnotated,
    FrameCaptured,
    Position,
    PredictionsMade,
    Split,
)
from services.contracts.identity import Box, Category, FrameId, ModelId, NeedleId
from services.contracts.matches import CategoryMatch, FrameMatched, MatchGroups, MatchRevisions
from services.contracts.needles import NeedleFound, ShortlistPublished
from services.domain.ports.epochs import StateChanges
from services.domain.ports.known_places import KnownPlace
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Point, collection_of
from services.domain.shortlists.epochs import Epoch
from services.domain.shortlists.look_alikes import look_alikes
from services.domain.withdrawal import withdrawn
from services.retriever.allocation import listed_scenes
from services.retriever.service import PublishShortlists
from services.retriever.sources import RetrieverStores
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.budget_reports import InMemoryBudgetReports
from tests.fakes.clock import FakeClock
from tests.fakes.epochs import InMemoryEpochStore
from tests.fakes.failure_models import InMemoryFailureModelStore
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.known_places import InMemoryKnownPlaces
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.fakes.openings import InMemoryOpenings
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.vectors import InMemoryVectors

NEEDLE_BOX: Box = samples.BOX


class BusyEpochStore(InMemoryEpochStore):
    """One in which another retriever may close an epoch before, or a test hold up its closing."""

    overtaken = False

    def __init__(self) -> None:
        super().__init__()
        self.blocked: asyncio.Event | None = None
        self.is_closing = asyncio.Event()

    async def close(self, epoch: Epoch, changes: StateChanges) -> bool:
        if self.blocked is not None:
            self.is_closing.set()
            await self.blocked.wait()
        if self.overtaken:
            self.overtaken = False
            await super().close(epoch, changes)
        return await super().close(epoch, changes)


class World:
    """A retriever over frames of one region each, which a test places in two dimensions."""

    def __init__(self, **settings: float | str) -> None:
        self.frames = InMemoryFrameStore()
        self.matches = InMemoryMatchStore()
        self.needles = InMemoryNeedleStore()
        self.epochs = BusyEpochStore()
        self.models = InMemoryFailureModelStore()
        self.openings = InMemoryOpenings()
        self.known_places = InMemoryKnownPlaces()
        self.budgets = InMemoryBudgetReports()
        self.outbox = InMemoryOutbox()
        self.vectors = InMemoryVectors()
        self.clock = FakeClock()
        self._settings = Settings(**settings)  # type: ignore[arg-type]  # pydantic checks
        self.step = self.retriever()

    def retriever(self) -> PublishShortlists:
        """One more on the same stores."""
        return PublishShortlists(
            RetrieverStores(
                frames=self.frames,
                matches=self.matches,
                needles=self.needles,
                vectors=self.vectors,
                epochs=self.epochs,
                models=self.models,
                openings=self.openings,
                known_places=self.known_places,
                budgets=self.budgets,
            ),
            outbox=self.outbox,
            settings=self._settings,
            clock=self.clock,
        )

    async def run(self, events: Sequence[Event], step: PublishShortlists | None = None) -> None:
        """Close an epoch with these events, then others until no frame waits to be listed."""
        step = step or self.step
        await step.run(events)
        while await step.settle():
            pass

    async def embed(
        self,
        frame_id: str,
        angle: float,
        *,
        split: str = "haystack",
        drive: str = "",
        model: ModelId = samples.MODEL,
        captured: FrameCaptured | None = None,
        scene: float = 0.0,
    ) -> Event:
        drive = drive or f"drive-of-{frame_id}"
        predictions = samples.predictions_made(samples.detection(), frame_id=frame_id)
        embedded = samples.frame_embedded(predictions, model)
        captured = captured or samples.frame_captured(frame_id, drive)
        await self.frames.record([captured, predictions])
        regions, frames = collection_of(REGION_VECTORS, model), collection_of(FRAME_VECTORS, model)
        await self.vectors.ensure(regions, 2, keywords=(), numbers=())
        await self.vectors.alias({REGION_VECTORS: regions})
        await self.vectors.upsert(regions, [_point(predictions, angle, split, drive, model)])
        look = np.array([np.cos(scene), np.sin(scene)], np.float32)
        frame = Point(embedded.frame_point, look, {"split": split, "frame_id": frame_id})
        await self.vectors.ensure(frames, 2, keywords=(), numbers=())
        await self.vectors.upsert(frames, [frame])
        return embedded

    async def annotate(
        self, frame_id: str, *, right: bool, split: Split = Split.REFERENCE
    ) -> FrameMatched:
        """Say whether the detection on a frame is right or a false positive on the background."""
        wrong = samples.frame_matched(frame_id, split=split)
        truth = {"matched": (1,), "errors": (None,), "ground_truths": (1, 0, 1, 0)}
        match = samples.with_rows(wrong, **truth) if right else wrong
        await self.matches.record([match])
        return match

    async def example(self, frame_id: str, angle: float, *, right: bool) -> FrameMatched:
        """An annotated reference frame, embedded."""
        await self.embed(frame_id, angle, split="reference")
        return await self.annotate(frame_id, right=right)

    async def correct(self, frame_id: str, *, right: bool) -> FrameMatched:
        """An annotator's verdict on a haystack frame."""
        again = FrameAnnotated(
            frame_id=FrameId(frame_id),
            revision=2,
            annotation_source="reannotation",
            annotations=(),
        )
        await self.frames.record([again])
        match = await self.annotate(frame_id, right=right, split=Split.HAYSTACK)
        verdict = samples.revised(match, 2).model_copy(update={"reannotated": True})
        await self.matches.record([verdict])
        return verdict

    async def undo(self, frame_id: str) -> FrameMatched:
        """Take back an annotator's verdict on a haystack frame."""
        name = FrameId(frame_id)
        truth = (await self.frames.load([name]))[name].ground_truth
        assert truth is not None
        taken_back = withdrawn(truth).model_copy(update={"revision": 3})
        assert isinstance(taken_back, FrameAnnotated)
        await self.frames.record([taken_back])
        groups = MatchGroups.of({samples.STOP_SIGN: CategoryMatch()})
        undone = {"revisions": MatchRevisions(truth=3), "groups": groups}
        match = samples.frame_matched(frame_id, split=Split.HAYSTACK).model_copy(update=undone)
        await self.matches.record([match])
        return match

    def latest(self) -> dict[str, ShortlistPublished]:
        """The last shortlist of each needle, by its frame."""
        published = [
            event for event in self.outbox.published if isinstance(event, ShortlistPublished)
        ]
        return {shortlist.needle.frame_id: shortlist for shortlist in published}

    def shortlists(self) -> list[list[str]]:
        return [
            [candidate.frame_id for candidate in event.candidates]
            for event in self.outbox.published
            if isinstance(event, ShortlistPublished)
        ]


def _point(
    predictions: PredictionsMade, angle: float, split: str, drive: str, model: ModelId
) -> Point:
    (region,) = predictions.region_ids()
    x, y, width, height = NEEDLE_BOX
    return Point(
        identity.region_point_id(model, region),
        np.array([np.cos(angle), np.sin(angle)], np.float32),
        {
            "frame_id": predictions.frame_id,
            "region_id": region,
            "detector": predictions.detector_id,
            "category": samples.STOP_SIGN,
            "score": 0.9,
            "split": split,
            "drive_id": drive,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
        },
    )


async def found(world: World, frame_id: str = "needle", angle: float = 0.0) -> NeedleFound:
    await world.embed(frame_id, angle, split="reference", drive="d1")
    return samples.needle_found(frame_id)


async def test_the_haystack_regions_nearest_to_the_needle_come_first() -> None:
    world = World()
    needle = await found(world)
    for name, angle in (("far", 1.0), ("near", 0.1), ("middle", 0.5)):
        await world.embed(name, angle)
    await world.run([needle])
    assert world.shortlists() == [["near", "middle", "far"]]


async def test_a_region_embedded_later_is_added_to_the_standing_shortlist() -> None:
    world = World()
    needle = await found(world)
    await world.embed("first", 0.5)
    await world.run([needle])
    await world.run([await world.embed("second", 0.1)])
    assert world.shortlists() == [["first"], ["second", "first"]]


@pytest.mark.parametrize(("detector", "listed"), [("ods@1", []), ("ods@2", ["second", "first"])])
async def test_regions_below_their_categorys_operating_score_are_not_listed(
    detector: str, listed: list[str]
) -> None:
    world = World(operating_score_of=f"{detector}:{samples.STOP_SIGN}=.95")
    needle = await found(world)
    await world.embed("first", 0.5)
    await world.run([needle])
    await world.run([await world.embed("second", 0.1)])
    assert world.shortlists()[1:] == ([listed] if listed else [])


async def test_a_needle_that_comes_before_its_vector_waits_for_it() -> None:
    world = World()
    await world.embed("hay", 0.1)
    await world.run([samples.needle_found("needle")])
    assert world.shortlists() == []
    await world.run([await world.embed("needle", 0.0, split="reference", drive="d1")])
    assert world.shortlists() == [["hay"]]


async def test_a_shortlist_that_does_not_change_is_not_published_again() -> None:
    world = World()
    needle = await found(world)
    frame = await world.embed("hay", 0.1)
    for _ in range(3):
        await world.run([needle, frame])
    assert world.shortlists() == [["hay"]]


async def test_a_shortlist_that_the_broker_did_not_acknowledge_is_published_by_the_replay() -> None:
    world = World()
    needle = await found(world)
    await world.embed("hay", 0.1)
    world.outbox.failures.append(StoreUnavailable("the broker is away"))
    with pytest.raises(StoreUnavailable):
        await world.run([needle])
    await world.run([needle])
    assert world.shortlists() == [["hay"]]


async def test_a_retracted_needle_has_its_shortlist_withdrawn() -> None:
    world = World()
    needle = await found(world)
    frame = await world.embed("hay", 0.1)
    await world.run([needle])
    await world.run([samples.needle_retracted(needle, revision=2)])
    await world.run([frame])
    assert world.shortlists() == [["hay"], []]


async def test_a_needle_that_replaces_the_last_of_its_mode_in_one_batch_has_its_frames() -> None:
    world = World()
    needle = await found(world)
    await world.run([needle, await world.embed("hay", 0.1)])
    other = await found(world, "another", 0.05)
    await world.run([samples.needle_retracted(needle, revision=2), other])
    assert [item.frame_id for item in world.latest()["another"].candidates] == ["hay"]


async def test_shortlists_are_thinned_per_drive_and_cut_to_size() -> None:
    world = World(shortlist_per_drive=1, shortlist_size=2)
    needle = await found(world)
    for number, drive in enumerate(("a", "a", "b", "c")):
        await world.embed(f"h{number}", 0.1 * (number + 1), drive=drive)
    await world.run([needle])
    assert world.shortlists() == [["h0", "h2"]]


async def test_of_a_burst_without_a_drive_one_frame_is_listed_and_others_take_its_place() -> None:
    world = World(shortlist_size=3, shortlist_budget=0.5)
    needle = await found(world)
    # Three bursts of three frames, and frames with a drive that look like the first of them.
    for number in range(9):
        lone = samples.frame_captured(f"h{number}", None)
        scene = 1.0 + number // 3 + 0.01 * number
        await world.embed(f"h{number}", 0.01 * (number + 1), captured=lone, scene=scene)
    await world.embed("other-drive", 0.3, scene=1.0)

    await world.run([needle])
    assert world.shortlists() == [["h0", "h3", "h6"]]

    # A process that starts again, and frames that come later, are compared with what is listed.
    again = world.retriever()
    late = samples.frame_captured("late", None)
    await world.run([await world.embed("late", 0.0, captured=late, scene=1.02)], again)
    assert world.latest()["needle"].candidates[0].frame_id == "h0"


async def test_frames_without_a_drive_are_compared_in_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[int] = set()

    def noted(*args: Any) -> set[FrameId]:
        threads.add(threading.get_ident())
        return look_alikes(*args)

    monkeypatch.setattr(listed_scenes, "look_alikes", noted)
    world = World()
    lone = samples.frame_captured("hay", None)
    await world.run([await found(world), await world.embed("hay", 0.1, captured=lone)])
    assert threads
    assert threading.get_ident() not in threads


def taken_at(frame_id: str, metres_north: float) -> FrameCaptured:
    captured = samples.frame_captured(frame_id, f"drive-of-{frame_id}")
    position = Position(lat=52.5 + metres_north / 111_200, lon=13.4)
    return captured.model_copy(update={"position": position})


async def test_later_sightings_at_a_known_place_are_held_back_until_it_is_not_known() -> None:
    world = World()
    needle = await found(world)
    place = KnownPlace(
        *(needle.needle_id, needle.frame_id, needle.category, 52.5, 13.4, "ana"),
        samples.CAPTURED_AT,
    )
    await world.known_places.mark(place)
    for name, angle, metres in (("there", 0.1, 20.0), ("elsewhere", 0.5, 30.0)):
        await world.embed(name, angle, captured=taken_at(name, metres))
    await world.run([needle])
    assert world.shortlists() == [["elsewhere"]]

    # Also in a process that starts again, and for frames of any later drive.
    again = world.retriever()
    later = await world.embed("later", 0.0, captured=taken_at("later", -10.0))
    await world.run([later], again)
    assert world.shortlists() == [["elsewhere"]]

    await world.known_places.unmark(needle.needle_id)
    await world.run([await world.embed("new", 0.7)], again)
    assert world.shortlists()[-1] == ["later", "there", "elsewhere", "new"]


async def test_a_known_place_says_nothing_of_other_categories_and_of_frames_without_position() -> (
    None
):
    world = World()
    needle = await found(world)
    place = KnownPlace(
        *(needle.needle_id, needle.frame_id, Category("yield"), 52.5, 13.4, "ana"),
        samples.CAPTURED_AT,
    )
    await world.known_places.mark(place)
    await world.embed("there", 0.1, captured=taken_at("there", 5.0))
    await world.run([needle])
    await world.known_places.mark(
        replace(place, needle_id=NeedleId("n"), category=samples.STOP_SIGN)
    )
    await world.run([await world.embed("nowhere", 0.2)])
    assert world.shortlists()[-1] == ["there", "nowhere"]


async def test_reannotated_frames_are_not_asked_for_again() -> None:
    world = World()
    needle = await found(world)
    await world.embed("done", 0.1)
    await world.embed("open", 0.2)
    await world.frames.record(
        [
            FrameAnnotated(
                frame_id=FrameId("done"),
                revision=2,
                annotation_source="reannotation",
                annotations=(),
            )
        ]
    )
    await world.run([needle])
    assert world.shortlists() == [["open"]]


async def test_a_candidate_that_the_scorer_forgot_is_not_listed_once_it_is_reannotated() -> None:
    world = World(shortlist_size=1, shortlist_budget=0.01, worth_cache_bytes=1)
    await world.run([await found(world), await world.embed("first", 0.1)])
    second = await world.embed("second", 0.2)
    await world.run([second])
    await world.run([await world.embed("third", 0.3)])
    await world.correct("second", right=False)
    nothing = samples.predictions_made(frame_id="first", revision=2)
    await world.frames.record([nothing])
    await world.run([second, samples.frame_embedded(nothing)])
    assert world.shortlists() == [["first"], [], ["third"]]


async def test_a_frame_of_which_a_correction_lacks_something_is_asked_for_again() -> None:
    world = World()
    needle = await found(world)
    await world.embed("part", 0.1)
    answer = samples.frame_annotated(frame_id="part", revision=2, complete=False)
    await world.frames.record([answer.model_copy(update={"annotation_source": "reannotation"})])
    await world.run([needle])
    assert world.shortlists() == [["part"]]


@pytest.mark.parametrize("count_copies", [False, True])
async def test_a_copy_is_listed_beside_its_original_only_where_copies_count(
    count_copies: bool,
) -> None:
    world = World(count_copies=count_copies)
    needle = await found(world)
    image = samples.frame_captured("original").image
    await world.embed("original", 0.1)
    copy = samples.frame_captured("copy", "drive-of-copy").model_copy(update={"image": image})
    await world.frames.record([copy])
    await world.embed("copy", 0.1, captured=copy)
    await world.run([needle])
    (listed,) = world.shortlists()
    assert sorted(listed) == (["copy", "original"] if count_copies else ["original"])


async def test_a_frame_stays_on_its_shortlist_while_it_is_reannotated() -> None:
    world = World()
    needle = await found(world)
    frame = await world.embed("hay", 0.1)
    await world.run([needle])
    await world.frames.record(
        [
            FrameAnnotated(
                frame_id=FrameId("hay"),
                revision=2,
                annotation_source="reannotation",
                annotations=(),
            )
        ]
    )
    await world.run([frame])
    assert world.shortlists() == [["hay"]]


async def test_needles_that_fail_alike_share_the_frames_and_none_is_shown_twice() -> None:
    world = World(shortlist_size=2, shortlist_budget=0.99)
    needles = [await found(world, "n1", 0.0), await found(world, "n2", 0.05)]
    for number in range(5):
        await world.embed(f"h{number}", 0.1 * number)
    await world.run(needles)
    listed = [[c.frame_id for c in shortlist.candidates] for shortlist in world.latest().values()]
    assert sorted(frame for frames in listed for frame in frames) == ["h0", "h1", "h2", "h3"]
    assert [len(frames) for frames in listed] == [2, 2]


async def test_no_more_of_the_haystack_is_listed_than_the_budget() -> None:
    world = World(shortlist_size=1, shortlist_budget=0.5)
    needles = [await found(world, f"n{number}") for number in range(6)]
    for number in range(6):
        await world.embed(f"h{number}", 0.1 * number)
    await world.run(needles)
    listed = {c.frame_id for shortlist in world.latest().values() for c in shortlist.candidates}
    assert listed == {"h0", "h1", "h2"}


async def test_what_is_as_like_the_right_ones_as_the_needle_is_contrasted_away() -> None:
    world = World()
    for number in range(3):
        await world.example(f"right{number}", 0.8 + 0.01 * number, right=True)
    needle = await found(world)
    await world.embed("like-the-needle", 0.2)
    await world.embed("like-the-right-ones", 0.7)
    await world.run([needle])
    (shortlist,) = world.latest().values()
    assert [c.frame_id for c in shortlist.candidates] == ["like-the-needle"]
    assert shortlist.provenance.method == "contrast"


async def test_enough_examples_teach_what_fails_and_the_shortlist_says_so() -> None:
    world = World()
    for number in range(20):
        await world.example(f"right{number}", 1.0 + 0.01 * number, right=True)
        await world.example(f"wrong{number}", 0.01 * number, right=False)
    needle = samples.needle_found("wrong0")
    await world.embed("wrong-too", 0.1)
    await world.embed("right-too", 1.1)
    await world.run([needle])
    (shortlist,) = world.latest().values()
    assert [c.frame_id for c in shortlist.candidates] == ["wrong-too"]
    assert shortlist.provenance.method == "logistic"
    assert shortlist.provenance.strategy == "worst-frames"


async def test_a_shortlist_names_the_model_that_found_it_once_another_is_live() -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.1)])
    other = ModelId("another")
    await world.embed("needle", 0.0, split="reference", drive="d1", model=other)
    await world.run([await world.embed("hay", 0.1, model=other)])
    before, after = [
        event for event in world.outbox.published if isinstance(event, ShortlistPublished)
    ]
    assert before.candidates == after.candidates
    assert (before.provenance.model, after.provenance.model) == (samples.MODEL, other)


async def test_without_anything_annotated_similarity_is_used_and_named() -> None:
    world = World(shortlist_strategy="costliest-errors")
    needle = await found(world)
    await world.embed("hay", 0.1)
    await world.run([needle])
    (shortlist,) = world.latest().values()
    assert shortlist.provenance.method == "similarity"
    assert shortlist.provenance.strategy == "costliest-errors"


async def test_a_reference_frame_annotated_later_changes_the_shortlists() -> None:
    world = World()
    needle = await found(world)
    await world.embed("hay", 0.7)
    await world.run([needle])
    assert world.shortlists() == [["hay"]]
    examples = [await world.example(f"right{n}", 0.75, right=True) for n in range(3)]
    await world.run(examples)
    assert world.shortlists() == [["hay"], []]


async def test_a_rejected_verdict_keeps_what_looks_like_it_off_the_shortlists() -> None:
    world = World()
    needle = await found(world)
    await world.embed("judged", 0.7)
    await world.embed("alike", 0.72)
    await world.run([needle])
    await world.run([await world.correct("judged", right=True)])
    (shortlist,) = world.latest().values()
    assert [c.frame_id for c in shortlist.candidates] == ["judged"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_frame_whose_correction_is_undone_leaves_without_evidence(restarted: bool) -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.7)])
    await world.run([await world.correct("hay", right=False)])
    undone = await world.undo("hay")
    await world.run([undone], world.retriever() if restarted else world.step)
    assert world.shortlists() == [["hay"]]
    await world.run([await world.example(f"right{n}", 0.75, right=True) for n in range(3)])
    assert world.shortlists() == [["hay"], []]


async def test_a_retriever_that_starts_anew_knows_all_verdicts() -> None:
    world = World()
    needle = await found(world)
    await world.embed("judged", 0.7)
    frame = await world.embed("alike", 0.72)
    await world.correct("judged", right=True)
    await world.run([needle, frame])
    assert world.shortlists() == []


async def test_two_retrievers_together_see_all_that_either_heard_of() -> None:
    world = World()
    other = world.retriever()
    needle = await found(world)
    await world.run([needle, await world.embed("first", 0.5)])
    await world.run([await world.embed("second", 0.1)], other)
    await world.run([await world.embed("third", 0.3)])
    examples = [await world.example(f"right{n}", 0.5, right=True) for n in range(3)]
    await world.run(examples, other)
    await world.run([await world.embed("fourth", 0.2)])
    assert [c.frame_id for c in world.latest()["needle"].candidates] == [
        "second",
        "third",
        "fourth",
    ]


async def test_a_match_of_a_haystack_frame_that_nobody_corrected_changes_nothing() -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.1)])
    await world.run([await world.annotate("hay", right=True, split=Split.HAYSTACK)])
    assert world.shortlists() == [["hay"]]


async def narrow(frame: str = "first") -> World:
    """One frame may be listed in all, and this one is."""
    world = World(shortlist_size=1, shortlist_budget=0.01)
    await world.run([await found(world), await world.embed(frame, 0.5)])
    assert world.shortlists() == [[frame]]
    return world


async def test_a_larger_haystack_admits_more_without_moving_what_is_listed() -> None:
    world = World(shortlist_size=2, shortlist_budget=0.5)
    await world.run([await found(world), await world.embed("j0", 0.5)])
    for number in range(1, 7):
        await world.run([await world.embed(f"j{number}", 0.5 - 0.05 * number)])
    other = await found(world, "another", 0.01)
    await world.run([other])
    shortlists = world.latest()
    assert [c.frame_id for c in shortlists["needle"].candidates] == ["j1", "j0"]
    assert [c.frame_id for c in shortlists["another"].candidates] == ["j6"]


async def test_a_listed_region_that_the_detector_no_longer_reports_is_taken_off() -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.5)])
    nothing = samples.predictions_made(frame_id="hay", revision=2)
    await world.frames.record([nothing])
    await world.run([samples.frame_embedded(nothing)])
    assert world.shortlists() == [["hay"], []]


async def test_a_frame_that_was_annotated_again_is_dealt_to_nobody() -> None:
    world = await narrow()
    await world.embed("judged", 0.1)
    judged = await world.correct("judged", right=False)
    await world.run([judged, samples.needle_retracted(await found(world), revision=2)])
    await world.run([await found(world, "another", 0.05)])
    assert [c.frame_id for c in world.latest()["another"].candidates] == ["first"]


async def test_a_process_whose_epoch_is_taken_reads_again_and_closes_the_next() -> None:
    world = World()
    await world.step.run([await found(world), await world.embed("hay", 0.1)])
    world.epochs.overtaken = True
    await world.run([])
    assert world.shortlists() == [["hay"]]
    epochs = await world.epochs.of(samples.DETECTOR)
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    (shortlist,) = world.latest().values()
    assert shortlist.epoch == len(epochs)


async def test_a_needle_that_is_retracted_while_another_process_lists_it_keeps_no_frame() -> None:
    world = World()
    needle = await found(world)
    await world.step.run([needle, await world.embed("hay", 0.1)])
    retracted, other = samples.needle_retracted(needle, revision=2), world.retriever()
    world.epochs.blocked = asyncio.Event()
    closing: list[asyncio.Task[Any]] = []
    for work in (world.step.settle(), other.run([retracted])):
        world.epochs.is_closing.clear()
        closing.append(asyncio.create_task(work))
        await world.epochs.is_closing.wait()
    world.epochs.blocked.set()
    await asyncio.gather(*closing)
    assert world.shortlists() == [["hay"], []]


async def spending(budgets: World) -> dict[str, tuple[int, int]]:
    """What is listed and held back, by budget."""
    (report,) = await budgets.budgets.all()
    return {
        budget.value: (report.spent[budget], report.held_back[budget]) for budget in report.sizes
    }


async def test_a_days_budget_is_spent_on_the_best_and_what_it_holds_back_is_told() -> None:
    world = World(budget_per_day=2, shortlist_budget=0.99)
    needle = await found(world)
    frames = [await world.embed(f"h{number}", 0.1 * number) for number in range(4)]
    await world.run([needle, *frames])
    await world.step.report_budgets()
    assert world.shortlists() == [["h0", "h1"]]
    assert await spending(world) == {"haystack": (2, 0), "day": (2, 2)}
    (report,) = await world.budgets.all()
    assert [frame.frame_id for frame in report.frames] == ["h2", "h3"]
    assert {frame.budget.value for frame in report.frames} == {"day"}


async def test_families_have_budgets_of_their_own_whosever_shortlist_a_frame_is_on() -> None:
    # One shortlist is filled before the next: it takes frames of both families.
    world = World(budget_per_family=1, shortlist_budget=0.99, shortlist_evidence=0.0)
    needles = [await found(world, "n1", 0.0), await found(world, "n2", 1.5)]
    frames = [
        await world.embed(f"h{number}", angle) for number, angle in enumerate((0, 0.1, 1.4, 1.5))
    ]
    await world.run([*needles, *frames])
    await world.step.report_budgets()
    listed = {c.frame_id for shortlist in world.latest().values() for c in shortlist.candidates}
    assert listed == {"h0", "h3"}
    assert (await spending(world))["family"] == (1, 2)


async def test_the_family_whose_tasks_came_true_is_asked_for_before_one_whose_did_not() -> None:
    world = World(shortlist_budget=0.01, shortlist_size=7)
    needles = [await found(world, "n1", 0.0), await found(world, "n2", 1.5)]
    for number in range(3):
        await world.embed(f"otherwise{number}", 0.0)
        await world.embed(f"alike{number}", 1.5)
    await world.run(needles)
    for number in range(3):
        alike = await world.correct(f"alike{number}", right=False)
        otherwise = await world.correct(f"otherwise{number}", right=False)
        # It is wrong, and not as the needle is.
        misplaced = samples.with_rows(otherwise, errors=(ErrorType.LOCALIZATION,))
        await world.matches.record([samples.revised(misplaced, 3)])
        await world.run([alike, misplaced])
    # One more may be listed, and by looks alone it is the first.
    more = [await world.embed("like-n1", 0.01), await world.embed("like-n2", 1.4)]
    await world.run(more, world.retriever())
    listed = {c.frame_id for shortlist in world.latest().values() for c in shortlist.candidates}
    assert {"like-n1", "like-n2"} & listed == {"like-n2"}


async def test_nothing_is_told_of_budgets_before_anything_was_planned() -> None:
    world = World()
    await world.step.report_budgets()
    assert await world.budgets.all() == []


async def test_an_event_of_another_service_stops_the_retriever() -> None:
    with pytest.raises(Fatal):
        await World().step.run([samples.frame_captured()])


async def test_a_miss_has_no_shortlist_and_leaves_those_of_false_positives_alone() -> None:
    world = World()
    needle = await found(world)
    missed = needle.model_copy(
        update={"needle_id": "missed", "error_type": ErrorType.MISSED, "score": 0.0}
    )
    await world.embed("hay", 0.1)
    await world.run([missed])
    assert world.shortlists() == []
    await world.run([needle])
    assert world.shortlists() == [["hay"]]
    await world.run([samples.needle_retracted(missed, revision=2)], world.retriever())
    assert world.shortlists() == [["hay"]]

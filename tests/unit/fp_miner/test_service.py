"""Which matches fp_miner announces: those that an event may have changed, on every delivery."""

import pytest

from services.contracts.errors import BrokerUnavailable
from services.contracts.events import Event
from services.contracts.identity import DetectorId
from services.contracts.matches import FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted
from services.fp_miner.service import MineNeedles
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.shortlists import InMemoryShortlistStore

VERSIONS = 20
DETECTORS = {DetectorId(f"ods@{number}") for number in range(VERSIONS)}


class World:
    """fp_miner on fakes, with many detector versions known of one frame."""

    def __init__(self, **settings: float | str) -> None:
        self.frames = InMemoryFrameStore()
        self.matches = InMemoryMatchStore()
        self.shortlists = InMemoryShortlistStore()
        self.outbox = InMemoryOutbox()
        self.settings = Settings(**settings)  # type: ignore[arg-type]  # pydantic checks

    async def known(self) -> "World":
        await self.run(
            samples.frame_captured(),
            samples.frame_annotated(),
            *(
                samples.predictions_made(samples.detection(), version=str(number))
                for number in range(VERSIONS)
            ),
        )
        return self

    async def run(self, *events: Event) -> list[Event]:
        """What a process that has just started publishes for these events."""
        before = len(self.outbox.published)
        step = MineNeedles(
            frames=self.frames,
            matches=self.matches,
            shortlists=self.shortlists,
            outbox=self.outbox,
            settings=self.settings,
            clock=FakeClock(),
        )
        await step.run(events)
        return self.outbox.published[before:]


def matched(events: list[Event]) -> list[DetectorId]:
    return [event.detector for event in events if isinstance(event, FrameMatched)]


async def test_predictions_of_one_version_announce_their_own_match_only() -> None:
    world = await World().known()
    made = samples.predictions_made(samples.detection(), version="new")
    published = await world.run(made)
    assert matched(published) == [made.detector_id]


async def test_ground_truth_announces_the_matches_of_every_version() -> None:
    world = await World().known()
    published = await world.run(samples.frame_annotated(samples.annotation(), revision=2))
    assert set(matched(published)) == DETECTORS
    assert len(matched(published)) == VERSIONS


async def test_a_shortlist_announces_the_matches_of_its_detector() -> None:
    world = await World(reference_share=0.01).known()
    needle = samples.needle_found("reference")
    published = await world.run(samples.shortlist_published(needle, "f1"))
    assert matched(published) == [needle.detector]
    assert [e.shortlisted for e in published if isinstance(e, FrameMatched)] == [True]


@pytest.mark.parametrize("again", [1, 3])
async def test_what_could_not_be_published_is_published_by_the_next_delivery(again: int) -> None:
    world = await World(reference_share=0.99).known()
    events = [
        samples.predictions_made(samples.detection(), version="new"),
        samples.predictions_made(version="1", revision=2),
    ]
    world.outbox.failures = [BrokerUnavailable("away")] * again
    for _ in range(again):
        with pytest.raises(BrokerUnavailable):
            await world.run(*events)
    # Delivered one by one now, and no longer in a batch.
    published = [event for one in events for event in await world.run(one)]
    assert set(matched(published)) == {"ods@new", "ods@1"}
    found = [event for event in published if isinstance(event, NeedleFound)]
    gone = [event for event in published if isinstance(event, NeedleRetracted)]
    assert [event.detector for event in found] == ["ods@new"]
    assert [event.detector for event in gone] == ["ods@1"]


async def test_a_category_that_vanished_is_announced_as_an_empty_group() -> None:
    world = await World().known()
    (match,) = (
        event
        for event in await world.run(samples.predictions_made(version="3", revision=2))
        if isinstance(event, FrameMatched)
    )
    assert match.groups.categories == (samples.STOP_SIGN,)
    assert match.groups.sizes == (0,)


async def test_the_detector_of_what_is_redacted_is_stored_and_not_mined() -> None:
    world = World(redact="face", redact_detector="privacy")
    made = samples.predictions_made(samples.detection("face")).model_copy(
        update={"detector": "privacy"}
    )

    other = samples.predictions_made(samples.detection())
    published = await world.run(samples.frame_captured(), samples.frame_annotated(), other, made)

    assert matched(published) == [samples.DETECTOR]
    needles = [event for event in published if isinstance(event, NeedleFound)]
    assert {needle.category for needle in needles} <= {samples.STOP_SIGN}
    (record,) = (await world.frames.load([made.frame_id])).values()
    assert made.detector_id in record.predictions

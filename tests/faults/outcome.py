"""What became of a survey: what is lost, what is there twice, whether the report is the same."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import unified_diff

from services.contracts import identity
from services.contracts.identity import FrameId, NeedleId, PointId
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished
from services.contracts.topics import NEEDLES, REANNOTATION_TOPIC
from services.domain.ports.needles import NeedleRecord
from services.domain.ports.vectors import FRAME_VECTORS as COLLECTION_FRAMES
from services.domain.ports.vectors import REGION_VECTORS as COLLECTION_REGIONS
from services.domain.ports.vectors import collection_of
from services.domain.shortlists.epochs import WINDOW
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.report import Counts
from services.fp_miner.service import MineNeedles
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores
from services.runtime.stores.vectors_open import open_vector_store
from tests.deadline import until
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.outbox import InMemoryOutbox
from tests.faults.deployment import Deployment
from tests.faults.survey import Fact, reference_frames
from tests.reading import events_on

_PAUSE_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """Counts over a survey.

    Attributes
    ----------
    lost : frames of which a part that was acknowledged is not stored, or whose match or needle is
        missing
    duplicates : frames with a second match or needle, needles that readers of the topic see and the
        store does not
    differences : lines in which the report of what is stored differs from that of a single
        undisturbed pass over the same frames
    """

    lost: int
    duplicates: int
    differences: tuple[str, ...]


CLEAN = Outcome(lost=0, duplicates=0, differences=())


async def settled_outcome(
    survey: Sequence[Fact], deployment: Deployment, stores: Stores, *, patience_s: float
) -> Outcome:
    """What became of a survey, counted while nothing moves.

    An epoch is recorded before its shortlists are stored, so all may look settled when the last
    shortlists are about to come. If they came while the outcome was counted, it is counted again:
    their frames may have moved between the reads that a report is made of.
    """
    while True:
        settled = await until_settled(deployment, stores, patience_s=patience_s)
        outcome = await outcome_of(survey, deployment, stores)
        if settled == await asyncio.to_thread(published_shortlists, deployment.broker):
            return outcome


async def outcome_of(survey: Sequence[Fact], deployment: Deployment, stores: Stores) -> Outcome:
    """What became of a survey, once nothing waits."""
    settings = deployment.settings
    ids = {fact.frame_id for fact in survey}
    needles = [needle async for needle in stores.needles.scan() if needle.active]
    mined, matched = needle_frames(needles), await match_counts(stores)
    wanted = reference_frames(survey, settings)
    lost = set(await lost_frames(survey, stores)) | (wanted - mined.keys()) | (ids - matched.keys())
    twice = {name for name in ids if matched[name] > 1 or mined[name] > (name in wanted)}
    published = await asyncio.to_thread(published_needles, deployment.broker)
    unknown = published ^ {needle.needle_id for needle in needles}
    return Outcome(
        lost=len(lost),
        duplicates=len(twice) + len(unknown),
        differences=await report_differences(ids, stores, settings),
    )


async def lost_frames(survey: Sequence[Fact], stores: Stores) -> list[str]:
    """The frames of which a part that was acknowledged is not stored."""
    ids = {FrameId(fact.frame_id) for fact in survey}
    records = await stores.frames.load(ids)
    embedded = await stores.embeddings.load(ids)
    return sorted(
        frame_id
        for frame_id in ids
        if (record := records.get(frame_id)) is None
        or record.captured is None
        or record.ground_truth is None
        or not record.predictions
        or not embedded[frame_id].embedded
    )


async def match_counts(stores: Stores) -> Counter[str]:
    """The number of stored matches of each frame."""
    return Counter([match.frame_id async for match in stores.matches.scan()])


def needle_frames(needles: Collection[NeedleRecord]) -> Counter[str]:
    """The number of needles of each frame."""
    return Counter(n.needle.frame_id for n in needles if isinstance(n.needle, NeedleFound))


def published_needles(broker: BrokerAddress) -> set[NeedleId]:
    """The needles that a reader of the topic takes for active."""
    latest: dict[NeedleId, NeedleFound | NeedleRetracted] = {}
    for _, event in events_on(broker, NEEDLES.name):
        assert isinstance(event, NeedleFound | NeedleRetracted)
        if event.needle_id not in latest or event.revision >= latest[event.needle_id].revision:
            latest[event.needle_id] = event
    return {needle_id for needle_id, event in latest.items() if isinstance(event, NeedleFound)}


def published_shortlists(broker: BrokerAddress) -> dict[NeedleId, ShortlistPublished]:
    """What a reader of the topic shows to annotators."""
    latest: dict[NeedleId, ShortlistPublished] = {}
    for _, event in events_on(broker, REANNOTATION_TOPIC.name):
        assert isinstance(event, ShortlistPublished)
        if event.needle_id not in latest or event.revision >= latest[event.needle_id].revision:
            latest[event.needle_id] = event
    return latest


async def until_settled(
    deployment: Deployment, stores: Stores, *, patience_s: float
) -> dict[NeedleId, ShortlistPublished]:
    """Wait until an epoch has listed frames, all that is stored is published, and nothing waits.

    A frame that is listed moves from H-S to S, in matches that fp_miner publishes again. Returns
    the published shortlists whose frames have moved.
    """
    settled = await _until_shortlists_are_published(
        deployment.broker, stores, deployment.settings, patience_s=patience_s
    )
    await until(deployment.caught_up, deadline_s=patience_s)
    return settled


async def _until_shortlists_are_published(
    broker: BrokerAddress, stores: Stores, settings: Settings, *, patience_s: float
) -> dict[NeedleId, ShortlistPublished]:
    async with asyncio.timeout(patience_s + 2 * WINDOW * settings.epoch_s):
        while True:
            needles = [needle async for needle in stores.needles.scan() if needle.active]
            stored = _stored_shortlists(needles)
            published = await asyncio.to_thread(published_shortlists, broker)
            epochs = await stores.epochs.latest()
            settled = epochs and all(epoch.settled for epoch in epochs.values())
            if settled and stored and stored == published:
                return published
            await asyncio.sleep(_PAUSE_S)


def _stored_shortlists(needles: list[NeedleRecord]) -> dict[NeedleId, ShortlistPublished]:
    stored = {needle.needle_id: needle.shortlist for needle in needles if needle.shortlist}
    for shortlist in stored.values():
        frames = [candidate.frame_id for candidate in shortlist.candidates]
        assert len(set(frames)) == len(frames)
    return stored


async def missing_vectors(
    survey: Sequence[Fact], stores: Stores, settings: Settings
) -> list[PointId]:
    """The vectors that were announced and are not there; nobody else may have the folder open."""
    records = await stores.embeddings.load({FrameId(fact.frame_id) for fact in survey})
    announced: dict[str, set[PointId]] = defaultdict(set)
    for event in (embedded for record in records.values() for embedded in record.embedded.values()):
        announced[collection_of(COLLECTION_FRAMES, event.model)].add(event.frame_point)
        announced[collection_of(COLLECTION_REGIONS, event.model)] |= {
            identity.region_point_id(event.model, region)
            for regions in event.regions.values()
            for region in regions
        }
    assert sum(map(len, announced.values())) >= len(survey)
    vectors = open_vector_store(settings)
    try:
        return [
            point
            for collection, points in announced.items()
            for point in points - (await vectors.load(collection, points)).keys()
        ]
    finally:
        await vectors.close()


async def report_differences(
    ids: Collection[str], stores: Stores, settings: Settings
) -> tuple[str, ...]:
    """Where the report of the stored matches differs from that of one undisturbed pass.

    Parameters
    ----------
    ids : frames that have a match, beside all that have one already
    """
    undisturbed = InMemoryMatchStore()
    miner = MineNeedles(
        frames=InMemoryFrameStore(),
        matches=undisturbed,
        shortlists=stores.shortlists,
        outbox=InMemoryOutbox(),
        settings=settings,
        clock=FakeClock(),
    )
    every = {FrameId(name) for name in ids} | {FrameId(name) for name in await match_counts(stores)}
    for frame in (await stores.frames.load(every)).values():
        parts = (frame.captured, *frame.predictions.values(), frame.ground_truth)
        await miner.run([part for part in parts if part is not None])
    printed = []
    for matches in (stores.matches, undisturbed):
        reports = Reports(matches, stores.needles, settings.operating_scores, FakeClock())
        found, _ = await reports.now(Counts(frames=0, predictions=0, ground_truth=0))
        assert found
        printed.append([line for report in found for line in _rounded(report.json_text())])
    stored, expected = printed
    return tuple(unified_diff(expected, stored, lineterm="", n=0))


def _rounded(text: str) -> list[str]:
    """The lines of a report, without the last digits, in which the order of sums shows."""
    parsed = json.loads(text, parse_float=lambda digits: round(float(digits), 12))
    return json.dumps(parsed, indent=2).splitlines()

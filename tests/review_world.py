"""A small world for the review page: frames with pictures, needles with shortlists, a token."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from PIL import Image as Pictures
from PIL import ImageDraw

from services.annotation.review.context import DeadLetters, ReviewContext, review_context
from services.annotation.review.sessions import Account
from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.contracts import identity
from services.contracts.dead_letters import DeadLetterChanged, DeadLettered, LetterChange
from services.contracts.errors import GazeloopError
from services.contracts.events import (
    Annotation,
    Detection,
    ErrorType,
    FrameAnnotated,
    FrameCaptured,
    Image,
    Position,
    PredictionsMade,
)
from services.contracts.identity import (
    Box,
    Category,
    DetectorId,
    DriveId,
    FamilyId,
    FrameId,
    LetterId,
    ModelId,
    NeedleId,
    VehicleId,
)
from services.contracts.needles import Candidate, NeedleFound, Provenance, ShortlistPublished
from services.domain.dead_letters import Letter, fold_letters
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.ap_recovered import RepairGain
from services.domain.metrics.confusion import ConfusionPool
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.ports.budget_reports import BudgetReport, HeldBackFrame
from services.domain.ports.figures import Figures
from services.domain.ports.held_corrections import HeldCorrection, Question
from services.domain.ports.region_maps import MappedRegion, RegionMap
from services.domain.ports.repair_gains import ALL_FAMILIES
from services.domain.shortlists.budgets import Budget
from services.evaluator.curves import DetectorCurves
from services.ground_truth.answers import held_id_of
from services.runtime.http.tokens import Authenticator, issue
from services.runtime.settings import Settings
from services.runtime.stores.mongo import connect
from services.runtime.stores.opening import Stores, open_stores
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox
from tests.samples import frame_matched, published
from tests.unit.domain import oracle

STOP = Category("stop sign")
UNKNOWN = Category("Stop_sgn")
HOSTILE = Category('<script>alert("x")</script>')
START = datetime.fromisoformat("2026-05-04T10:00:00+00:00")
REGION: Box = (60.0, 40.0, 24.0, 20.0)
OTHER: Box = (10.0, 80.0, 30.0, 16.0)
WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True)
class World:
    """What a test needs."""

    context: ReviewContext
    stores: AnnotationStores
    outbox: InMemoryOutbox
    clock: FakeClock
    token: str
    """Ana's."""
    replayed: list[LetterId]
    discarded: list[LetterId]
    refused: list[GazeloopError]
    """What a replay raises, if anything."""

    async def token_of(self, name: str) -> str:
        """A new token of this annotator."""
        token, record = issue(f"annotation:{name}", self.clock.now())
        await self.stores.tokens.add(record)
        return token


@dataclass(frozen=True)
class Seed:
    """A database and a folder with the world in them."""

    settings: Settings
    token: str


async def seeded(mongodb_url: str, folder: Path, *, needles: int = 3, candidates: int = 4) -> Seed:
    """A new world; making its indexes takes longer than most tests, so they share one."""
    name = f"review-{uuid4().hex[:8]}"
    settings = Settings(data=folder, mongodb=mongodb_url, mongodb_database=name)
    async with open_stores(settings, "a broker") as shared:
        stores = await open_annotation_stores(shared)
        token, record = issue("annotation:Ana", FakeClock().now())
        await stores.tokens.add(record)
        for number in range(needles):
            await add_needle(stores, number, candidates)
    return Seed(settings, token)


@asynccontextmanager
async def review_world(seed: Seed) -> AsyncIterator[World]:
    """The world as it was seeded; what is done to it is taken back in the end."""
    clock, outbox = FakeClock(), InMemoryOutbox()
    replayed, discarded = list[LetterId](), list[LetterId]()
    refused: list[GazeloopError] = []
    async with open_stores(seed.settings, "a broker") as shared:
        stores = AnnotationStores.of(shared)

        async def who(presented: str) -> Account | None:
            caller = await Authenticator(stores.tokens, clock).caller(presented)
            return Account(caller.token_id, caller.person) if caller and caller.person else None

        async def replay(ids: Sequence[LetterId]) -> int:
            if refused:
                raise refused[0]
            replayed.extend(ids)
            return len(ids)

        async def discard(ids: Sequence[LetterId]) -> int:
            discarded.extend(ids)
            return len(ids)

        async def read() -> list[Letter]:
            return fold_letters([*map(dead_letter, range(3)), settled_letter(), resolution()])

        letters = DeadLetters(read, replay, discard)
        context = review_context(
            stores, outbox, seed.settings, clock, authenticate=who, dead_letters=letters
        )
        database = connect(seed.settings.mongodb, seed.settings.mongodb_database)
        restored = ("needles", "tokens", "frames", "predictions", "pictures")
        kept = {name: await database[name].find().to_list() for name in restored}
        yield World(context, stores, outbox, clock, seed.token, replayed, discarded, refused)
        done = ("reviews", "review_claims", "corrections", "revisions", "matches")
        figured = ("figures", "curves", "slice_curves", "region_map", "repair_gains")
        asked = ("held_corrections", "label_answers", "budgets", "review_sessions")
        saved = ("saved_views", "region_shortlists")
        for name in (*done, *figured, *asked, *saved, *kept):
            await database[name].delete_many({})
        for name, documents in kept.items():
            await database[name].insert_many(documents)
        await database.client.close()


async def add_needle(stores: Stores, number: int, candidates: int) -> None:
    """A needle on its own frame, with a shortlist of frames of its own."""
    category = HOSTILE if number == 1 else STOP
    frame_id = f"r{number:03}"
    made = await add_frame(stores, frame_id, category, number, truths=[])
    found = needle(frame_id, category, made, number)
    shortlisted = []
    for place in range(candidates):
        its_frame = f"h{number:03}-{place}"
        truths = [Annotation(category=STOP, bbox=REGION)] if place == 0 else []
        its_made = await add_frame(stores, its_frame, category, place, truths)
        shortlisted.append(
            Candidate(
                frame_id=FrameId(its_frame),
                region_id=its_made.region_ids()[0],
                category=category,
                score=0.9 - place / 100,
                bbox=REGION,
                similarity=0.9 - place / 50,
                evidence=1.0,
                drive_id=DriveId(f"d{place}"),
                captured_at=START,
                image_uri="none",
            )
        )
    await stores.needles.record([found])
    if shortlisted:
        await stores.needles.write_shortlists([shortlist(found, shortlisted)])


async def report_budgets(stores: Stores) -> None:
    """Three budgets of one detector: one with frames left, two that hold some back."""
    sizes = {Budget.HAYSTACK: 1200, Budget.DAY: 3, Budget.FAMILY: 2}
    held_back = {Budget.HAYSTACK: 0, Budget.DAY: 1, Budget.FAMILY: 300}
    frames = [
        HeldBackFrame(
            FrameId(f"h000-{place}"),
            VehicleId("v1"),
            START,
            STOP if place else HOSTILE,
            "background" if place else "classification",
            "" if place else "yield",
            FamilyId(f"family-{place}"),
            0.9 - place / 10,
            0.1 - place / 100,
            Budget.FAMILY if place else Budget.DAY,
        )
        for place in range(3)
    ]
    spent = {Budget.HAYSTACK: 300, Budget.DAY: 3, Budget.FAMILY: 2}
    other = BudgetReport(
        DetectorId("a@1"), {Budget.HAYSTACK: 10}, {Budget.HAYSTACK: 0}, {Budget.HAYSTACK: 0}, []
    )
    own = BudgetReport(DetectorId("ods@1"), sizes, spent, held_back, frames)
    await stores.budgets.show([other, own])


async def show_curves(stores: Stores) -> dict[Category, int]:
    """Matches of a dozen frames with their curves; returns the objects of each category.

    Every other frame has the tag `weather=rain`, which has curves too.
    """
    rain = ("weather", "rain")
    matches = [
        replace(match, tags=() if place % 2 else (rain,))
        for place, frame in enumerate(oracle.random_frames(3, 12))
        for match in oracle.matched(frame)
    ]
    await stores.matches.record(published(matches))
    detector, state, pool = (
        DetectorId("d@1"),
        MatchState(OperatingScores(0.5)),
        ConfusionPool(OperatingScores(0.5)),
    )
    state.add(matches)
    for match in matches:
        pool.put(match)
    figures = state.of(detector, Subset.ALL)
    curves = state.score_curves(detector, Subset.ALL)
    operating = {category: part.operating for category, part in figures.items()}
    content = DetectorCurves.of(operating, curves, pool.on(Subset.ALL)).model_dump_json()
    await stores.curves.put(detector, Subset.ALL, content.encode())
    wet = {match.frame_id for match in matches if match.tags}
    part = state.curves_on(detector, {rain: wet})[rain]
    content = DetectorCurves.of(part.operating, part.curves, pool.among(wet)).model_dump_json()
    await stores.curves.show_slices(detector, {"weather=rain": content.encode()})
    return {category: part.ground_truths for category, part in figures.items()}


async def show_gains(stores: Stores, now: datetime) -> None:
    """What the detector's figures were, and what its reviewed frames recover."""
    for hour, value in enumerate((0.41, 0.43)):
        at = now - timedelta(hours=1 - hour)
        await stores.figures.add(Figures("ods@1", at, {"H": value}, 0.9, 0.5, 1.8, {"open": 1}))
    gains = {ALL_FAMILIES: RepairGain(60, 0.021, 0.021), "family-1": RepairGain(8, 0.05, 0.012)}
    await stores.repair_gains.show({DetectorId("ods@1"): gains})


async def show_map(stores: Stores) -> None:
    """A map with a region of each of the first needle's candidates."""
    record = (await stores.needles.load([needle_id_of(0)]))[needle_id_of(0)]
    assert record.shortlist is not None
    regions = [
        MappedRegion(
            place,
            place * place / 4,
            item.region_id,
            item.frame_id,
            DetectorId("ods@1"),
            item.category,
            item.score,
            item.bbox,
            "haystack",
            "v1",
        )
        for place, item in enumerate(record.shortlist.candidates)
    ]
    await stores.region_maps.put(RegionMap(ModelId("small"), regions))


def version_by(who: str, frame_id: str, *annotations: Annotation) -> FrameAnnotated:
    return FrameAnnotated(
        frame_id=FrameId(frame_id),
        annotated_by=who,
        annotation_source="reannotation",
        annotations=annotations,
    )


def held(
    question: Question, *versions: FrameAnnotated, unknown: tuple[str, ...] = (), minute: int = 0
) -> HeldCorrection:
    return HeldCorrection(
        held_id=held_id_of(versions, ""),
        frame_id=versions[0].frame_id,
        question=question,
        versions=versions,
        unknown=tuple(map(Category, unknown)),
        after=1,
        origin="back.json:images[0]",
        held_at=START + timedelta(minutes=minute),
    )


async def ask(stores: Stores) -> tuple[HeldCorrection, HeldCorrection]:
    """Hold two corrections: one with a label that nobody knows, one of two who disagree."""
    misspelt = Annotation(category=UNKNOWN, bbox=REGION)
    kept = Annotation(category=Category("yield"), bbox=OTHER)
    label = held(
        Question.UNKNOWN_CATEGORY, version_by("Eve", "h000-1", misspelt, kept), unknown=(UNKNOWN,)
    )
    choice = held(
        Question.ANNOTATORS_DISAGREE,
        version_by("Eve", "h000-2", kept, Annotation(category=STOP, bbox=REGION)),
        version_by("Finn", "h000-2", kept),
        minute=1,
    )
    await stores.held.hold([label, choice])
    await stores.matches.record([frame_matched("r000", category=STOP)])
    return label, choice


def needle(frame_id: str, category: Category, made: PredictionsMade, number: int) -> NeedleFound:
    region = made.region_ids()[0]
    return NeedleFound(
        needle_id=identity.needle_id(region),
        revision=1,
        frame_id=FrameId(frame_id),
        detector=DetectorId("ods@1"),
        category=category,
        region_id=region,
        score=made.detections[0].score,
        bbox=REGION,
        error_type=ErrorType.BACKGROUND,
        drive_id=DriveId("d0"),
        captured_at=START + timedelta(minutes=number),
    )


def shortlist(
    found: NeedleFound, candidates: list[Candidate], revision: int = 1
) -> ShortlistPublished:
    return ShortlistPublished(
        needle_id=found.needle_id,
        revision=revision,
        needle=found,
        candidates=tuple(candidates),
        provenance=Provenance(model=ModelId("small"), strategy="contrast", size_limit=10),
    )


async def add_frame(
    stores: Stores, frame_id: str, category: Category, number: int, truths: list[Annotation]
) -> PredictionsMade:
    content = picture(frame_id, number)
    uri = stores.blobs.put(content)
    captured = FrameCaptured(
        frame_id=FrameId(frame_id),
        vehicle_id=VehicleId("v1"),
        drive_id=DriveId(f"d{number}"),
        captured_at=START + timedelta(seconds=number),
        position=Position(lat=52.5 + number / 1000, lon=13.4 + number / 700, heading=90.0),
        image=Image(
            sha256=uri.rpartition("/")[2],
            uri=uri,
            size_bytes=len(content),
            media_type="image/png",
            width=WIDTH,
            height=HEIGHT,
        ),
    )
    made = PredictionsMade(
        frame_id=FrameId(frame_id),
        detector="ods",
        version="1",
        detections=(
            Detection(category=category, score=round(0.95 - number / 1000, 4), bbox=REGION),
        ),
    )
    annotated = FrameAnnotated(
        frame_id=FrameId(frame_id),
        annotations=(*truths, Annotation(category=Category("yield"), bbox=OTHER)),
    )
    await stores.frames.record([captured, made, annotated])
    return made


def picture(frame_id: str, number: int) -> bytes:
    """Of its own for each frame: frames that share a picture are copies."""
    image = Pictures.new("RGB", (WIDTH, HEIGHT), (90, 110 + number % 60, 130))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 40, 84, 60), fill=(200, 40, 40))
    draw.rectangle((10, 80, 40, 96), fill=(230, 230, 210))
    draw.text((4, 4), frame_id)
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def dead_letter(number: int) -> DeadLettered:
    return DeadLettered(
        service="ingest" if number == 2 else "embedder",
        reason="unfinished_task" if number == 2 else "truncated_image",
        detail="the file <b>ends</b> too early",
        original_topic=None if number == 2 else "gaze.frames",
        partition=0,
        offset=number,
        location="gt.json:images[2]" if number == 2 else None,
        original_value=b"<script>alert(1)</script>" + bytes([number]),
        failed_at=START,
    )


def settled_letter() -> DeadLettered:
    return dead_letter(3).model_copy(update={"reason": "missing_image"})


def resolution() -> DeadLetterChanged:
    letter = settled_letter()
    return DeadLetterChanged(
        letter_id=letter.letter_id,
        change=LetterChange.RESOLVED,
        replay=identity.replay_id(letter.letter_id, 1),
        service=letter.service,
        partition_key=letter.key(),
        changed_at=START,
    )


def needle_id_of(number: int) -> NeedleId:
    """The needle on frame `number`."""
    category = HOSTILE if number == 1 else STOP
    region = identity.region_ids(
        FrameId(f"r{number:03}"),
        DetectorId("ods@1"),
        [(category, REGION, round(0.95 - number / 1000, 4))],
    )[0]
    return identity.needle_id(region)

"""retriever: keeps every needle's shortlist up to date with the haystack and what is annotated."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import structlog

from services.contracts.errors import Fatal, StoreUnavailable
from services.contracts.events import (
    Event,
    FrameEmbedded,
    FrameMatched,
    NeedleFound,
    NeedleRetracted,
    ShortlistPublished,
    Split,
)
from services.contracts.identity import DetectorId, FrameId
from services.contracts.topics import EMBEDDED, MATCHES, NEEDLES
from services.retriever import logic
from services.retriever.known import KnownFrames, KnownMatches, KnownNeedles
from services.retriever.planning import Planner
from services.runtime import metrics
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.frames import FrameStore
from services.runtime.stores.matches import MatchStore
from services.runtime.stores.needles import NeedleRecord, NeedleStore
from services.runtime.stores.vectors import REGIONS, VectorStore, model_of

TOPICS = (NEEDLES, EMBEDDED, MATCHES)
log = structlog.get_logger()


class ExtendShortlists:
    """Plans all shortlists again when a batch says something that may move one.

    A needle, a haystack region and an annotated reference frame may come in any order. Each is
    durable before its event, and a plan follows from nothing but what is durable by then: whichever
    comes last completes the shortlists.

    Several may run at once. Whoever finishes a plan that another began or finished meanwhile
    forgets what it has read and plans again: the last one sees all that anyone has heard of.
    """

    def __init__(
        self,
        *,
        frames: FrameStore,
        matches: MatchStore,
        needles: NeedleStore,
        vectors: VectorStore,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._frames = KnownFrames(frames)
        self._reference = KnownMatches(matches)
        self._needles = needles
        self._known_needles = KnownNeedles(needles)
        self._vectors = vectors
        self._outbox = outbox
        self._clock = clock
        self._finished: int | None = None
        self._planner = Planner(
            frames=self._frames,
            reference=self._reference,
            matches=matches,
            vectors=vectors,
            settings=settings,
        )

    async def run(self, events: Sequence[Event]) -> None:
        found: list[NeedleFound | NeedleRetracted] = []
        embedded: list[FrameEmbedded] = []
        matched: list[FrameMatched] = []
        for event in events:
            match event:
                case NeedleFound() | NeedleRetracted():
                    found.append(event)
                case FrameEmbedded():
                    embedded.append(event)
                case FrameMatched():
                    matched.append(event)
                case _:
                    raise Fatal(f"retriever does not consume {type(event).__name__}")
        await self._needles.record(found)
        await self._known_needles.refresh({each.needle_id for each in found})
        self._frames.forget(each.frame_id for each in (*embedded, *matched))
        self._reference.note(each for each in matched if each.split is Split.REFERENCE)
        teaches = await self._teaches(matched)
        if embedded or teaches:
            self._planner.forget_haystack()
        if found or embedded or teaches:
            await self._plan()

    async def _teaches(self, matched: Sequence[FrameMatched]) -> bool:
        """Whether these say how regions fail that examples are taken from."""
        if any(each.split is Split.REFERENCE for each in matched):
            return True
        frames: set[FrameId] = {each.frame_id for each in matched}
        facts = await self._frames.load(frames)
        return any(each.reannotated for each in facts.values())

    async def _plan(self) -> None:
        started = self._clock.monotonic()
        before = await self._needles.plans()
        if before != self._finished:
            self._forget_all()
        records = await self._known_needles.all()
        changed = [logic.withdrawn(each) for each in records if not each.active]
        model = model_of(REGIONS, (await self._vectors.aliases()).get(REGIONS))
        if model is not None:
            for of_detector in _by_detector(records).values():
                changed += await self._planner.plan(of_detector, model)
        await self._write([each for each in changed if each is not None])
        if not await self._needles.finish_plan(before):
            raise StoreUnavailable("another retriever planned at the same time")
        self._finished = before + 1
        await self._publish()
        metrics.SEARCH_SECONDS.observe(self._clock.monotonic() - started)

    def _forget_all(self) -> None:
        """Another retriever planned, and may have heard what this one has not."""
        self._frames.forget_all()
        self._reference.forget_all()
        self._known_needles.forget_all()
        self._planner.forget_haystack()

    async def _write(self, shortlists: Sequence[ShortlistPublished]) -> None:
        await self._needles.write_shortlists(shortlists)
        stored = await self._known_needles.refresh([each.needle_id for each in shortlists])
        for each in shortlists:
            if stored[each.needle_id].shortlist != each:
                raise StoreUnavailable(f"needle {each.needle_id}: another retriever was faster")

    async def _publish(self) -> None:
        """Publish what is written and not yet acknowledged, whoever wrote it and whenever."""
        due = [
            record.shortlist
            for record in await self._known_needles.all()
            if record.shortlist is not None
            and record.shortlist.revision > record.published_revision
        ]
        if not due:
            return
        await self._outbox.publish(due)
        await self._needles.mark_published(due)
        await self._known_needles.refresh([each.needle_id for each in due])
        for shortlist in due:
            category = metrics.CATEGORIES(shortlist.needle.category)
            metrics.SHORTLISTS_PUBLISHED.labels(category).inc()
            metrics.SHORTLIST_FRAMES.observe(len(shortlist.candidates))
        log.info("shortlists_published", shortlists=len(due))


def _by_detector(records: Collection[NeedleRecord]) -> dict[DetectorId, list[NeedleRecord]]:
    of: defaultdict[DetectorId, list[NeedleRecord]] = defaultdict(list)
    for record in records:
        if record.active and record.needle is not None:
            of[record.needle.detector].append(record)
    return dict(sorted(of.items()))

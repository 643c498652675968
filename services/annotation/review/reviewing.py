"""What annotators do: decide, undo, correct. Each act appends one event or is refused."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from services.annotation.decisions import Review, Seen, projection_of, review_of
from services.annotation.ports.reviews import Act, ReviewEvent
from services.annotation.review.context import ReviewContext
from services.annotation.review.edits import Edit, edited
from services.annotation.review.needle_view import claim_from_now
from services.annotation.review.refusals import (
    CONTENDED,
    NOT_THE_LAST,
    OVERTAKEN,
    UNRECORDED,
    Lost,
    Refusal,
    claimed_text,
)
from services.annotation.review.sessions import Session
from services.contracts.errors import MissingImage
from services.contracts.identity import Box, Category, FrameId, NeedleId, RegionId
from services.contracts.needles import Candidate, NeedleFound
from services.domain.ports.needles import NeedleRecord

_ATTEMPTS = 5


@dataclass(frozen=True)
class Target:
    """The region that a correction is about: the needle's, or a candidate's."""

    frame_id: FrameId
    region_id: RegionId
    bbox: Box
    category: Category

    @classmethod
    def of(cls, found: NeedleFound | Candidate) -> "Target":
        """The region of a needle or of a candidate."""
        return cls(found.frame_id, found.region_id, found.bbox, found.category)


@dataclass(frozen=True)
class Change:
    """What an act adds to a review; the fields are those of `ReviewEvent`.

    Attributes
    ----------
    is_published : whether the act has published ground truth already
    """

    act: Act
    regions: tuple[RegionId, ...]
    undoes: int | None = None
    frame_id: FrameId | None = None
    revision: int | None = None
    note: str = ""
    verdict: Act | None = None
    is_published: bool = False


@dataclass(frozen=True)
class Reviewer:
    """One person at work on one needle.

    Attributes
    ----------
    act_id : the id that the page gave this act; an act that has arrived is not repeated
    """

    context: ReviewContext
    session: Session
    record: NeedleRecord
    act_id: str = ""

    @property
    def needle_id(self) -> NeedleId:
        """The needle's id."""
        return self.record.needle_id

    async def decide(self, act: Act, seen: Seen, note: str = "") -> Refusal | None:
        """Decide the candidates that the page showed.

        Parameters
        ----------
        act : one of `VERDICTS`
        note : the person's comment

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        if await self._has_arrived():
            return None
        known = {candidate.region_id for candidate in self._candidates()}
        regions = {region: at for region, at in seen.regions.items() if region in known}
        if not regions:
            return Refusal(Lost.NOTHING, "These candidates are no longer on the shortlist.")
        page = replace(seen, regions=regions)
        return await self._refused_by_claim() or await self._record_change(
            lambda review: _decision(review, act, page, note)
        )

    async def decide_rest(self, act: Act, note: str = "") -> Refusal | None:
        """Decide every candidate that nobody has decided.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        review = await self._review()
        rest = (item.region_id for item in self._candidates())
        open_regions = {
            region: review.touched.get(region, 0)
            for region in rest
            if region not in review.decisions
        }
        return await self.decide(act, Seen(open_regions, review.version), note)

    async def undo(self, wanted: str = "") -> Refusal | None:
        """Undo this person's last act on this needle, including a correction.

        Parameters
        ----------
        wanted : version or id of the act to undo, which must be the last; empty means the last

        Raises
        ------
        Transient
            A store or the broker is unavailable.
        """
        if await self._has_arrived():
            return None
        republished: set[int] = set()
        return await self._refused_by_claim() or await self._record_change(
            lambda review: self._undo_change(review, wanted, republished)
        )

    async def correct(
        self,
        target: Target,
        edit: Edit,
        category: Category,
        after: int,
        seen_acts: Collection[str] = (),
    ) -> Refusal | None:
        """Publish the frame's ground truth with one simple correction.

        The correction of a candidate decides the candidate, where it settles the question.

        Parameters
        ----------
        after : the revision that the person saw
        seen_acts : ids of their own acts that their page showed in addition

        Raises
        ------
        Invalid
            The correction does not apply to this region.
        Transient
            A store or the broker is unavailable; the correction is stored and sent later.
        """
        if await self._has_arrived():
            return None
        frame_id = target.frame_id
        revision = await self.context.corrector.published_by(self.act_id, frame_id)
        if revision is None:  # otherwise the process crashed between publishing and recording it
            if refused := await self._refused_by_claim():
                return refused
            seen = {after} | await self._revisions(seen_acts, frame_id)
            revision = await self._published(target, edit, category, seen)
        if revision is None:
            return Refusal(Lost.CORRECTED, OVERTAKEN)
        note = _NOTES[edit].format(category=category)
        verdict = _verdict(edit, target, category)
        regions = (target.region_id,) if verdict and self._lists(target.region_id) else ()
        change = Change(
            Act.CORRECT,
            regions,
            frame_id=frame_id,
            revision=revision,
            note=note,
            verdict=verdict if regions else None,
            is_published=True,
        )
        return await self._record_change(lambda _: _ready(change))

    async def _published(
        self, target: Target, edit: Edit, category: Category, seen: Collection[int]
    ) -> int | None:
        """The revision of the correction; None if the person has not seen the latest revision."""
        context = self.context
        record = (await context.stores.frames.load([target.frame_id])).get(target.frame_id)
        truth = await context.corrector.ground_truth(record) if record else None
        if truth is None or truth.revision not in seen:
            return None
        annotations = edited(truth.annotations, target.bbox, edit, category)
        return await context.corrector.publish(truth, annotations, self.session.by, self.act_id)

    async def _revisions(self, act_ids: Collection[str], frame_id: FrameId) -> set[int]:
        """The revisions of a frame that these acts published."""
        corrections = (await self._review()).corrections
        events = (event for event in corrections if event.act_id and event.act_id in act_ids)
        return {event.revision or 0 for event in events if event.frame_id == frame_id}

    async def _undo_correction(self, last: ReviewEvent) -> Refusal | None:
        assert last.frame_id is not None  # corrections name their frame
        assert last.revision is not None
        context = self.context
        if await context.corrector.published_by(self.act_id, last.frame_id) is not None:
            return None  # the process crashed between publishing and recording it
        before = await context.corrector.before(last.frame_id, last.revision)
        record = (await context.stores.frames.load([last.frame_id])).get(last.frame_id)
        truth = await context.corrector.ground_truth(record) if record else None
        if before is None or truth is None or truth.revision != last.revision:
            return Refusal(Lost.CORRECTED, OVERTAKEN)
        revision = await context.corrector.publish(truth, before, self.session.by, self.act_id)
        return Refusal(Lost.CORRECTED, OVERTAKEN) if revision is None else None

    async def _refused_by_claim(self) -> Refusal | None:
        wanted = claim_from_now(self.context, self.session)
        held = await self.context.stores.reviews.claim(
            self.needle_id, wanted, self.context.clock.now()
        )
        if held.is_of(self.session.by):
            return None
        return Refusal(Lost.CLAIMED, claimed_text(held))

    async def version(self) -> int:
        """The current version of the needle's review."""
        return (await self._review()).version

    async def _has_arrived(self) -> bool:
        """Whether the review has this act; if so, bring the lists up to date with it."""
        if not self.act_id or (await self._review()).event_of(self.act_id) is None:
            return False
        await self._project()
        return True

    async def _review(self) -> Review:
        return review_of(await self.context.stores.reviews.events(self.needle_id))

    async def _record_change(
        self, changing: Callable[[Review], Awaitable[Change | Refusal]]
    ) -> Refusal | None:
        """Append the change that follows from the current review, unless the act has arrived."""
        refusal = CONTENDED
        for _ in range(_ATTEMPTS):
            review = await self._review()
            if review.event_of(self.act_id):
                return None
            change = await changing(review)
            if isinstance(change, Refusal):
                return change
            if await self._append(review, change):
                return None
            refusal = UNRECORDED if change.is_published else CONTENDED
        return refusal

    async def _undo_change(
        self, review: Review, wanted: str, republished: set[int]
    ) -> Change | Refusal:
        """The undo of the person's last act.

        Parameters
        ----------
        republished : versions of corrections before which the ground truth is published already
        """
        last = review.undoable(self.session.by)
        if last is None:
            return Refusal(Lost.NOTHING, "You have no act left to undo here.")
        if wanted not in {"", str(last.version), last.act_id}:
            return Refusal(Lost.NOTHING, NOT_THE_LAST)
        if last.act is Act.CORRECT and last.version not in republished:
            if refused := await self._undo_correction(last):
                return refused
            republished.add(last.version)
        return Change(
            Act.UNDO,
            last.regions,
            undoes=last.version,
            is_published=last.act is Act.CORRECT,
        )

    async def _append(self, review: Review, change: Change) -> bool:
        event = ReviewEvent(
            needle_id=self.needle_id,
            version=review.version + 1,
            act=change.act,
            regions=change.regions,
            by=self.session.by,
            token_id=self.session.token_id,
            at=self.context.clock.now(),
            undoes=change.undoes,
            frame_id=change.frame_id,
            revision=change.revision,
            note=change.note,
            act_id=self.act_id,
            verdict=change.verdict,
            shown=await self._shown(change.regions),
        )
        if not await self.context.stores.reviews.append(event):
            return False
        await self._project()
        return True

    async def _shown(self, regions: Sequence[RegionId]) -> tuple[str, ...]:
        """Digests of what the page shows of the frames of these candidates."""
        images = self.context.images
        if not images.redacts:
            return ()
        frame_of = {item.region_id: item.frame_id for item in self._candidates()}
        frames = await self.context.stores.frames.load(set(frame_of.values()))
        digests = []
        for region in regions:
            try:
                digests.append(images.of_frame(frames[frame_of[region]]).digest)
            except (MissingImage, KeyError):  # hidden, or no longer on the shortlist
                digests.append("")
        return tuple(digests)

    async def _project(self) -> None:
        # Read the events again, so that the last writer shows all of them.
        events = await self.context.stores.reviews.events(self.needle_id)
        shortlist = self.record.shortlist
        projection = projection_of(
            review_of(events),
            [candidate.region_id for candidate in self._candidates()],
            shortlist.revision if shortlist else 0,
            events[-1],
        )
        await self.context.stores.reviews.project(self.needle_id, projection)

    def _lists(self, region_id: RegionId) -> bool:
        return any(candidate.region_id == region_id for candidate in self._candidates())

    def _candidates(self) -> Sequence[Candidate]:
        return self.record.shortlist.candidates if self.record.shortlist else ()


def _verdict(edit: Edit, target: Target, category: Category) -> Act | None:
    """What a correction decides about the candidate at its region.

    The detector is right if what it predicts there becomes ground truth. A label that is renamed
    to the predicted category decides nothing, since its box may not fit.
    """
    if edit is Edit.NO_OBJECT or category != target.category:
        return Act.ACCEPT
    return Act.REJECT if edit is Edit.MISSING_LABEL else None


async def _decision(review: Review, act: Act, seen: Seen, note: str) -> Change | Refusal:
    if stale := review.stale(seen):
        decision = review.decisions.get(stale[0])
        who = f"{decision.by} has" if decision else "Someone has"
        text = f"{who} decided {len(stale)} of these in the meantime. Your decision was not saved."
        return Refusal(Lost.DECIDED, text)
    return Change(act, tuple(seen.regions), note=note)


async def _ready(change: Change) -> Change:
    return change


_NOTES = {
    Edit.NO_OBJECT: "removed {category}",
    Edit.MISSING_LABEL: "added {category}",
    Edit.WRONG_CATEGORY: "renamed to {category}",
}

"""What annotators do: decide, undo, correct. Each is one more event, or a lost race, told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.contracts.events import Candidate, NeedleFound
from services.contracts.identity import Box, Category, FrameId, NeedleId, RegionId
from services.retriever.review.decisions import Review, projection_of, review_of
from services.retriever.review.desk import Desk
from services.retriever.review.edits import Edit, edited
from services.retriever.review.needle_view import until
from services.retriever.review.sessions import Session
from services.runtime.stores.needles import NeedleRecord
from services.runtime.stores.reviews import Act, Claim, ReviewEvent

_ATTEMPTS = 5


class Lost(Enum):
    """Why nothing was changed."""

    CLAIMED = "claimed"
    DECIDED = "decided"
    CORRECTED = "corrected"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Refusal:
    """Nothing was changed; what to tell the person."""

    why: Lost
    text: str


@dataclass(frozen=True)
class Target:
    """A region that a correction is about: the needle's own, or a candidate's."""

    frame_id: FrameId
    region_id: RegionId
    bbox: Box
    category: Category

    @classmethod
    def of(cls, found: NeedleFound | Candidate) -> "Target":
        """The region of a needle or of a candidate."""
        return cls(found.frame_id, found.region_id, found.bbox, found.category)


@dataclass(frozen=True)
class Reviewer:
    """One person at work on one needle."""

    desk: Desk
    session: Session
    record: NeedleRecord

    @property
    def needle_id(self) -> NeedleId:
        """Of the needle."""
        return self.record.needle_id

    async def decide(self, act: Act, seen: Mapping[RegionId, int]) -> Refusal | None:
        """Accept or reject candidates that were seen at these versions.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        known = {candidate.region_id for candidate in self._candidates()}
        regions = {region: version for region, version in seen.items() if region in known}
        if not regions:
            return Refusal(Lost.NOTHING, "These candidates are no longer on the shortlist.")
        if refused := await self._refused_by_claim():
            return refused
        for _ in range(_ATTEMPTS):
            review = await self._review()
            if stale := review.stale(regions):
                decision = review.decisions.get(stale[0])
                who = f"{decision.by} has" if decision else "Someone has"
                text = f"{who} decided {len(stale)} of these meanwhile. Nothing was changed."
                return Refusal(Lost.DECIDED, text)
            if await self._append(review, act, tuple(regions)):
                return None
        return Refusal(Lost.DECIDED, "Others are deciding at this moment. Nothing was changed.")

    async def undo(self) -> Refusal | None:
        """Take back this person's last act on this needle, a correction included.

        Raises
        ------
        Transient
            A store or the broker is away.
        """
        if refused := await self._refused_by_claim():
            return refused
        for _ in range(_ATTEMPTS):
            review = await self._review()
            last = review.undoable(self.session.by, self.session.token_id)
            if last is None:
                return Refusal(Lost.NOTHING, "There is nothing of yours left to undo here.")
            if last.act is Act.CORRECT and (refused := await self._take_back(last)):
                return refused
            if await self._append(review, Act.UNDO, last.regions, undoes=last.version):
                return None
        return Refusal(Lost.DECIDED, "Others are deciding at this moment. Nothing was undone.")

    async def correct(
        self, target: Target, edit: Edit, category: Category, after: int
    ) -> Refusal | None:
        """Publish the frame's ground truth with one simple correction.

        Parameters
        ----------
        after : the revision that the person saw

        Raises
        ------
        Invalid
            The correction makes no sense there.
        Transient
            A store or the broker is away; the correction is kept and sent later.
        """
        if refused := await self._refused_by_claim():
            return refused
        desk = self.desk
        record = (await desk.frames.load([target.frame_id])).get(target.frame_id)
        truth = await desk.corrector.ground_truth(record) if record else None
        if truth is None or truth.revision != after:
            return Refusal(Lost.CORRECTED, _OVERTAKEN)
        annotations = edited(truth.annotations, target.bbox, edit, category)
        revision = await desk.corrector.publish(truth, annotations, self.session.by)
        if revision is None:
            return Refusal(Lost.CORRECTED, _OVERTAKEN)
        for _ in range(_ATTEMPTS):
            review = await self._review()
            noted = await self._append(
                review,
                Act.CORRECT,
                (),
                frame_id=target.frame_id,
                revision=revision,
                note=_NOTES[edit].format(category=category),
            )
            if noted:
                break
        return None

    async def _take_back(self, last: ReviewEvent) -> Refusal | None:
        assert last.frame_id is not None  # corrections name their frame
        assert last.revision is not None
        desk = self.desk
        before = await desk.corrector.before(last.frame_id, last.revision)
        record = (await desk.frames.load([last.frame_id])).get(last.frame_id)
        truth = await desk.corrector.ground_truth(record) if record else None
        if before is None or truth is None or truth.revision != last.revision:
            return Refusal(Lost.CORRECTED, _OVERTAKEN)
        revision = await desk.corrector.publish(truth, before, self.session.by)
        return Refusal(Lost.CORRECTED, _OVERTAKEN) if revision is None else None

    async def _refused_by_claim(self) -> Refusal | None:
        wanted = until(self.desk, self.session)
        held = await self.desk.reviews.claim(self.needle_id, wanted, self.desk.clock.now())
        if held.is_of(self.session.by, self.session.token_id):
            return None
        return Refusal(Lost.CLAIMED, claimed_text(held))

    async def _review(self) -> Review:
        return review_of(await self.desk.reviews.events(self.needle_id))

    async def _append(
        self,
        review: Review,
        act: Act,
        regions: tuple[RegionId, ...],
        *,
        undoes: int | None = None,
        frame_id: FrameId | None = None,
        revision: int | None = None,
        note: str = "",
    ) -> bool:
        event = ReviewEvent(
            needle_id=self.needle_id,
            version=review.version + 1,
            act=act,
            regions=regions,
            by=self.session.by,
            token_id=self.session.token_id,
            at=self.desk.clock.now(),
            undoes=undoes,
            frame_id=frame_id,
            revision=revision,
            note=note,
        )
        if not await self.desk.reviews.append(event):
            return False
        # From the events again, so that whoever comes last shows what all of them say.
        events = await self.desk.reviews.events(self.needle_id)
        shortlist = self.record.shortlist
        projection = projection_of(
            review_of(events),
            [candidate.region_id for candidate in self._candidates()],
            shortlist.revision if shortlist else 0,
            events[-1],
        )
        await self.desk.reviews.project(self.needle_id, projection)
        return True

    def _candidates(self) -> Sequence[Candidate]:
        return self.record.shortlist.candidates if self.record.shortlist else ()


_OVERTAKEN = "The frame's ground truth has changed since you saw it. Nothing was changed."
_NOTES = {
    Edit.NO_OBJECT: "no {category} here",
    Edit.MISSING_LABEL: "added {category}",
    Edit.WRONG_CATEGORY: "renamed to {category}",
}


def claimed_text(claim: Claim) -> str:
    """What to tell of another's claim."""
    return f"{claim.by} works on this needle until {claim.until:%H:%M} UTC. Nothing was changed."

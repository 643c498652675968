"""The data of a needle's page: the needle, its candidates, and the decisions."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from services.annotation.decisions import Decision, Review, review_of
from services.annotation.ports.needle_lists import ListPosition
from services.annotation.ports.reviews import Act, Claim, ReviewEvent
from services.annotation.review.context import ReviewContext
from services.annotation.review.edits import Edit, overlaps_with, possible_edits
from services.annotation.review.listing import View
from services.annotation.review.overlay import Picture, close_up, whole
from services.annotation.review.place_map import PinnedPosition, PlaceMap, place_map
from services.annotation.review.sessions import Session
from services.contracts.events import FrameAnnotated
from services.contracts.identity import Box, DetectorId, FrameId
from services.contracts.needles import Candidate, NeedleFound
from services.domain.ports.family_marks import Mark
from services.domain.ports.frames import FrameRecord
from services.domain.ports.known_places import KnownPlace
from services.domain.ports.needles import NeedleRecord

_MAX_OTHER_PLACES = 2000
"""Frames of other needles that the map shows."""
_PROBABILITIES = ("logistic",)
"""The methods whose evidence is a probability."""


class _Frame(NamedTuple):
    """A frame's stored parts and its latest ground truth."""

    record: FrameRecord
    truth: FrameAnnotated | None


@dataclass(frozen=True)
class RegionView:
    """The region of a needle or of a candidate.

    Attributes
    ----------
    picture : the region with its surroundings; None if the image is not known
    truth : the ground truth at the region, in words
    revision : the ground truth's revision, which a correction carries; None if not annotated
    edits : the corrections that would change the ground truth
    """

    picture: Picture | None
    truth: str
    revision: int | None
    edits: Collection[Edit]


@dataclass(frozen=True)
class CandidateView:
    """The data of a candidate's card.

    Attributes
    ----------
    decision : the last decision about it; None if it is undecided
    seen : the version of the last event about it, which its form carries
    """

    number: int
    candidate: Candidate
    region: RegionView
    decision: Decision | None
    seen: int

    @property
    def value(self) -> str:
        """The candidate as a form's value."""
        return f"{self.candidate.region_id}@{self.seen}"


@dataclass(frozen=True)
class NeedleView:
    """The data of the whole page, for one person.

    Attributes
    ----------
    whole : the needle's frame; None if the image is not known
    place : of the needle in the list of `view`
    positioned : whether it is known where the needle's frame was taken
    known : that place, if somebody marked it as known
    """

    record: NeedleRecord
    needle: NeedleFound
    session: Session
    view: View
    region: RegionView
    whole: Picture | None
    candidates: Sequence[CandidateView]
    review: Review
    claim: Claim | None
    place: ListPosition
    map: PlaceMap | None
    mark: Mark
    positioned: bool
    known: KnownPlace | None

    @property
    def claim_is_own(self) -> bool:
        """Whether this person has claimed the needle."""
        return self.claim is not None and self.claim.is_of(self.session.by)

    @property
    def undoable(self) -> ReviewEvent | None:
        """The act that this person can undo."""
        return self.review.undoable(self.session.by)

    @property
    def undo_order(self) -> Sequence[int]:
        """The versions of this person's acts in force, latest first."""
        return self.review.undo_order(self.session.by)

    @property
    def decided(self) -> int:
        """The number of decided candidates."""
        return sum(candidate_view.decision is not None for candidate_view in self.candidates)

    def with_verdict(self, act: Act) -> int:
        """The number of candidates with this decision."""
        decisions = (candidate_view.decision for candidate_view in self.candidates)
        return sum(decision is not None and decision.act == act for decision in decisions)

    @property
    def method(self) -> str:
        """How the candidates were scored; empty without a shortlist."""
        return self.record.shortlist.provenance.method if self.record.shortlist else ""

    @property
    def ranked_by(self) -> str:
        """The name of the figure that candidates are ranked by.

        Without a failure model, evidence is no probability.
        """
        return "probability of failing" if self.method in _PROBABILITIES else "evidence of failing"


async def needle_view(
    context: ReviewContext, record: NeedleRecord, session: Session, view: View
) -> NeedleView | None:
    """The data of a needle's page; None if only its retraction is known.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    needle, stores = record.needle, context.stores
    if needle is None:
        return None
    candidates = record.shortlist.candidates if record.shortlist else ()
    frames, events, claims, place, others, (mark, known) = await asyncio.gather(
        _frames(context, {needle.frame_id, *(item.frame_id for item in candidates)}),
        stores.reviews.events(needle.needle_id),
        stores.reviews.claims([needle.needle_id], context.clock.now()),
        stores.needle_lists.place(view.passed, view.sort, needle),
        stores.frame_places.sample(_MAX_OTHER_PLACES),
        asyncio.gather(
            stores.family_marks.of(needle.needle_id), stores.known_places.of(needle.needle_id)
        ),
    )
    own, review = frames[needle.frame_id], review_of(events)
    pinned = _pinned(needle, candidates, frames)
    return NeedleView(
        record=record,
        needle=needle,
        session=session,
        view=view,
        region=_region(needle, needle.detector, own, _needle_alt(record, needle)),
        whole=_whole(needle, own),
        candidates=_candidates(candidates, needle.detector, frames, review),
        review=review,
        claim=claims.get(needle.needle_id),
        place=place,
        map=place_map(pinned, others),
        mark=mark,
        positioned=pinned[0].position is not None,
        known=known,
    )


async def _frames(context: ReviewContext, frame_ids: Collection[FrameId]) -> dict[FrameId, _Frame]:
    """These frames; unknown ones are empty."""
    known = await context.stores.frames.load(frame_ids)
    truths = await context.corrector.ground_truths(known.values())
    return {
        frame_id: _Frame(known.get(frame_id, FrameRecord(frame_id)), truths.get(frame_id))
        for frame_id in frame_ids
    }


def claim_from_now(context: ReviewContext, session: Session) -> Claim:
    """The claim that this person gets now, with its end."""
    end = context.clock.now() + timedelta(seconds=context.settings.review_claim_s)
    return Claim(session.by, session.token_id, end)


def truth_at(truth: FrameAnnotated | None, region: Box) -> str:
    """The ground truth at a region, in a few words."""
    if truth is None:
        return "not annotated"
    if not truth.annotations:
        return "nothing on this frame"
    overlaps = overlaps_with(truth.annotations, region)
    best = max(range(len(overlaps)), key=overlaps.__getitem__)
    if overlaps[best] <= 0:
        return "nothing here"
    return f"{truth.annotations[best].category}, IoU {overlaps[best]:.2f}"


def _needle_alt(record: NeedleRecord, needle: NeedleFound) -> str:
    verb = "missed" if record.is_miss else "predicted"
    return f"{needle.category} {verb} on frame {needle.frame_id}"


def _whole(needle: NeedleFound, frame: _Frame) -> Picture | None:
    return whole(
        frame.record,
        frame.truth,
        detector=needle.detector,
        alt=f"frame {needle.frame_id}, whole image",
        region_id=needle.region_id,
    )


def _candidates(
    candidates: Sequence[Candidate],
    detector: DetectorId,
    frames: Mapping[FrameId, _Frame],
    review: Review,
) -> list[CandidateView]:
    views = []
    for number, candidate in enumerate(candidates, 1):
        alt = f"candidate {number}: {candidate.category} on frame {candidate.frame_id}"
        region = _region(candidate, detector, frames[candidate.frame_id], alt)
        decision = review.decisions.get(candidate.region_id)
        seen = review.touched.get(candidate.region_id, 0)
        views.append(CandidateView(number, candidate, region, decision, seen))
    return views


def _region(
    found: NeedleFound | Candidate, detector: DetectorId, frame: _Frame, alt: str
) -> RegionView:
    truth = frame.truth
    return RegionView(
        picture=close_up(
            frame.record,
            truth,
            detector=detector,
            region_id=found.region_id,
            region=found.bbox,
            alt=alt,
        ),
        truth=truth_at(truth, found.bbox),
        revision=truth.revision if truth else None,
        edits=possible_edits(truth.annotations, found.bbox, found.category) if truth else (),
    )


def _pinned(
    needle: NeedleFound, candidates: Sequence[Candidate], frames: Mapping[FrameId, _Frame]
) -> list[PinnedPosition]:
    """Where the needle, with number 0, and its candidates were captured."""
    labels = ["the needle", *(f"candidate {number}" for number in range(1, len(candidates) + 1))]
    frame_ids = [needle.frame_id, *(candidate.frame_id for candidate in candidates)]
    captures = [frames[frame_id].record.captured for frame_id in frame_ids]
    return [
        PinnedPosition(number, label, captured.position if captured else None)
        for number, (label, captured) in enumerate(zip(labels, captures, strict=True))
    ]

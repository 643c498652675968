"""The data of a needle's page: the needle, its candidates, and the decisions."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from services.annotation.ports.needle_lists import ListPosition
from services.annotation.ports.reviews import Act, Claim, ReviewEvent
from services.annotation.review.context import ReviewContext
from services.annotation.review.decisions import Decision, Review, review_of
from services.annotation.review.edits import Edit, possible_edits
from services.annotation.review.listing import View
from services.annotation.review.overlay import Picture, close_up, whole
from services.annotation.review.place_map import PinnedPosition, PlaceMap, place_map
from services.annotation.review.sessions import Session
from services.contracts.events import Candidate, FrameAnnotated, NeedleFound
from services.contracts.identity import Box, FrameId, NeedleId, RegionId
from services.domain.detection.boxes import iou_matrix
from services.domain.ports.family_marks import Mark
from services.domain.ports.frames import FrameRecord
from services.domain.ports.known_places import KnownPlace
from services.domain.ports.needles import NeedleRecord

_OTHER_PLACES_MAX = 2000
"""Frames of other needles that the map shows."""
_PROBABILITIES = ("logistic",)
"""The methods whose evidence is a probability."""


@dataclass(frozen=True)
class CandidateView:
    """The data of a candidate's card.

    Attributes
    ----------
    seen : the version of the last decision about it, which its form carries
    truth : the ground truth at the candidate's region, in words
    revision : the ground truth's revision, which a correction carries; None if not annotated
    edits : the corrections that would change the ground truth
    """

    number: int
    candidate: Candidate
    picture: Picture | None
    decision: Decision | None
    seen: int
    truth: str
    revision: int | None
    edits: Collection[Edit]

    @property
    def value(self) -> str:
        """The candidate as a form's value."""
        return f"{self.candidate.region_id}@{self.seen}"


@dataclass(frozen=True)
class NeedleView:
    """The data of the whole page."""

    needle: NeedleFound
    active: bool
    shortlist_revision: int
    close_up: Picture | None
    whole: Picture | None
    truth: str
    revision: int | None
    edits: Collection[Edit]
    candidates: Sequence[CandidateView]
    review: Review
    undoable: ReviewEvent | None
    claim: Claim | None
    claim_is_own: bool
    view: View
    place: ListPosition
    map: PlaceMap | None
    mark: Mark
    method: str
    positioned: bool
    """Whether it is known where the needle's frame was taken."""
    known: KnownPlace | None
    """The place, if somebody marked it as known."""
    undo_order: Sequence[int]
    """The versions of this person's acts in force, latest first."""

    @property
    def decided(self) -> int:
        """The number of decided candidates."""
        return sum(candidate_view.decision is not None for candidate_view in self.candidates)

    def with_verdict(self, act: Act) -> int:
        """The number of candidates with this decision."""
        decisions = (candidate_view.decision for candidate_view in self.candidates)
        return sum(decision is not None and decision.act == act for decision in decisions)

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
    needle = record.needle
    if needle is None:
        return None
    candidates = record.shortlist.candidates if record.shortlist else ()
    now = context.clock.now()
    frames, review, claims, place, others, mark = await asyncio.gather(
        context.frames.load({needle.frame_id, *(item.frame_id for item in candidates)}),
        _review(context, record.needle_id),
        context.reviews.claims([record.needle_id], now),
        context.lists.place(view.passed, view.sort, needle),
        context.places.some(_OTHER_PLACES_MAX),
        context.marks.of(record.needle_id),
    )
    truths = await context.corrector.ground_truths(frames.values())
    claim = claims.get(record.needle_id)
    own = frames.get(needle.frame_id, FrameRecord(needle.frame_id))
    own_truth = truths.get(needle.frame_id)
    verb = "missed" if record.is_miss else "predicted"
    alt = f"{needle.category} {verb} on frame {needle.frame_id}"
    return NeedleView(
        needle=needle,
        active=record.active,
        shortlist_revision=record.shortlist.revision if record.shortlist else 0,
        close_up=close_up(
            own,
            own_truth,
            detector=needle.detector,
            region_id=needle.region_id,
            region=needle.bbox,
            alt=alt,
        ),
        whole=whole(
            own,
            own_truth,
            detector=needle.detector,
            alt=f"frame {needle.frame_id}, whole image",
            region_id=needle.region_id,
        ),
        truth=truth_at(own_truth, needle.bbox),
        revision=own_truth.revision if own_truth else None,
        edits=_edits(own_truth, needle),
        candidates=[
            _candidate(
                number,
                item,
                frames.get(item.frame_id, FrameRecord(item.frame_id)),
                truths.get(item.frame_id),
                review=review,
                detector=needle.detector,
            )
            for number, item in enumerate(candidates, 1)
        ],
        review=review,
        undoable=review.undoable(session.by),
        undo_order=review.undo_order(session.by),
        claim=claim,
        claim_is_own=claim is not None and claim.is_of(session.by),
        view=view,
        place=place,
        map=place_map(_pinned(needle, candidates, frames), others),
        mark=mark,
        positioned=own.captured is not None and own.captured.position is not None,
        known=await context.known_places.of(record.needle_id),
        method=record.shortlist.provenance.method if record.shortlist else "",
    )


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
    boxes = np.array([annotation.bbox for annotation in truth.annotations], float)
    crowd = np.zeros(len(boxes), bool)
    overlaps = iou_matrix(np.array([region], float), boxes, crowd)[0]
    best = int(overlaps.argmax())
    if overlaps[best] <= 0:
        return "nothing here"
    return f"{truth.annotations[best].category}, IoU {overlaps[best]:.2f}"


def _edits(truth: FrameAnnotated | None, region: NeedleFound | Candidate) -> Collection[Edit]:
    if truth is None:
        return ()
    return possible_edits(truth.annotations, region.bbox, region.category)


async def _review(context: ReviewContext, needle_id: NeedleId) -> Review:
    return review_of(await context.reviews.events(needle_id))


def _candidate(
    number: int,
    candidate: Candidate,
    record: FrameRecord,
    truth: FrameAnnotated | None,
    *,
    review: Review,
    detector: str,
) -> CandidateView:
    region_id: RegionId = candidate.region_id
    return CandidateView(
        number=number,
        candidate=candidate,
        picture=close_up(
            record,
            truth,
            detector=detector,
            region_id=region_id,
            region=candidate.bbox,
            alt=f"candidate {number}: {candidate.category} on frame {candidate.frame_id}",
        ),
        decision=review.decisions.get(region_id),
        seen=review.touched.get(region_id, 0),
        truth=truth_at(truth, candidate.bbox),
        revision=truth.revision if truth else None,
        edits=_edits(truth, candidate),
    )


def _pinned(
    needle: NeedleFound, candidates: Sequence[Candidate], frames: Mapping[FrameId, FrameRecord]
) -> list[PinnedPosition]:
    def pinned(number: int, frame_id: FrameId, label: str) -> PinnedPosition:
        record = frames.get(frame_id)
        captured = record.captured if record else None
        return PinnedPosition(number, label, captured.position if captured else None)

    return [
        pinned(0, needle.frame_id, "the needle"),
        *(
            pinned(number, item.frame_id, f"candidate {number}")
            for number, item in enumerate(candidates, 1)
        ),
    ]

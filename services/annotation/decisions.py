"""The state of a needle's review, computed from its events in version order."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.annotation.ports.reviews import Act, Projection, ReviewEvent
from services.contracts.identity import RegionId
from services.domain.ports.needles import ReviewProgress


@dataclass(frozen=True)
class Decision:
    """The decision that is in force for one candidate.

    Attributes
    ----------
    note : the annotator's comment, or the correction that decided it
    """

    act: Act
    by: str
    at: datetime
    note: str = ""


@dataclass(frozen=True)
class Seen:
    """What a person's page showed when they acted.

    Attributes
    ----------
    regions : by candidate, the version of the last decision about it
    version : the version of the review that the page was rendered from
    acts : ids of the person's own acts that the page showed in addition
    """

    regions: Mapping[RegionId, int]
    version: int = 0
    acts: Collection[str] = ()


@dataclass(frozen=True)
class Review:
    """A needle's review after all its events.

    Attributes
    ----------
    touched : by candidate, the version of the last event about it, which a form must have seen
    corrections : corrections of ground truth that were not undone
    """

    version: int
    decisions: Mapping[RegionId, Decision]
    touched: Mapping[RegionId, int]
    corrections: Sequence[ReviewEvent]
    in_force: Sequence[ReviewEvent]
    """Events that were not undone, oldest first."""
    events: Sequence[ReviewEvent] = ()
    """All events, in version order."""

    def undoable(self, by: str) -> ReviewEvent | None:
        """A person's latest event in force, if nobody has decided its candidates since."""
        for event in reversed(self.in_force):
            if event.by != by:
                continue
            if all(self.touched[region] == event.version for region in event.regions):
                return event
            return None
        return None

    def undo_order(self, by: str) -> list[int]:
        """The versions of a person's events in force, latest first."""
        in_force = reversed(self.in_force)
        return [event.version for event in in_force if event.by == by]

    def event_of(self, act_id: str) -> ReviewEvent | None:
        """The event with this act id; None if that act has not arrived."""
        return next((event for event in self.events if act_id and event.act_id == act_id), None)

    def stale(self, seen: Seen) -> list[RegionId]:
        """Candidates that were decided since, except by acts that the page showed."""
        return [
            region
            for region, version in seen.regions.items()
            if self.touched.get(region, 0) != version and not self._shows(seen, region)
        ]

    def _shows(self, seen: Seen, region: RegionId) -> bool:
        """Whether the page showed every event about a candidate since it was rendered."""
        since = [event for event in self.events if event.version > seen.version]
        changes = [event.act_id for event in since if region in event.regions]
        return bool(changes) and set(changes) <= set(seen.acts)


def review_of(events: Sequence[ReviewEvent]) -> Review:
    """Compute the review from a needle's events.

    Parameters
    ----------
    events : all events of the needle, in version order
    """
    undone = {event.undoes for event in events if event.act is Act.UNDO}
    in_force = [e for e in events if e.act is not Act.UNDO and e.version not in undone]
    decisions = {
        region: Decision(verdict, event.by, event.at, event.note)
        for event in in_force
        if (verdict := event.decides) is not None
        for region in event.regions
    }
    return Review(
        version=events[-1].version if events else 0,
        decisions=decisions,
        touched=_touched(events, undone),
        corrections=[event for event in in_force if event.act is Act.CORRECT],
        in_force=in_force,
        events=events,
    )


def _touched(events: Sequence[ReviewEvent], undone: Collection[int | None]) -> dict[RegionId, int]:
    """The version of the last event in force for each candidate.

    Undoing an event puts the event before it in force again. That one can then be undone too, and
    a form that was rendered from it is valid again.
    """
    touched: dict[RegionId, int] = {}
    for event in events:
        if event.version not in undone and event.act is not Act.UNDO:
            touched |= dict.fromkeys(event.regions, event.version)
    return touched


def projection_of(
    review: Review, candidates: Collection[RegionId], shortlist_revision: int, last: ReviewEvent
) -> Projection:
    """The summary of a review that lists show."""
    decided = [
        review.decisions[candidate] for candidate in candidates if candidate in review.decisions
    ]
    counts = Counter(decision.act for decision in decided)
    if candidates and len(decided) == len(candidates):
        progress = ReviewProgress.DONE
    elif decided or review.corrections:
        progress = ReviewProgress.STARTED
    else:
        progress = ReviewProgress.OPEN
    return Projection(
        version=review.version,
        progress=progress,
        decided=len(decided),
        accepted=counts[Act.ACCEPT],
        shortlist_revision=shortlist_revision,
        by=last.by,
        at=last.at,
        unsure=counts[Act.UNSURE],
    )

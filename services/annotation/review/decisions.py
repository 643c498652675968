"""What a needle's review amounts to: its events, folded in their order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.contracts.identity import RegionId
from services.domain.ports.reviews import Act, Progress, Projection, ReviewEvent


@dataclass(frozen=True)
class Decision:
    """What counts for one candidate now."""

    act: Act
    by: str
    at: datetime


@dataclass(frozen=True)
class Seen:
    """What a person's page showed when they acted.

    Attributes
    ----------
    regions : by candidate, the version of the last decision about it
    version : the review's version that the page was drawn from
    acts : the ids of the person's own acts that the page showed beyond that version
    """

    regions: Mapping[RegionId, int]
    version: int = 0
    acts: Collection[str] = ()


@dataclass(frozen=True)
class Review:
    """A needle's review as its events leave it.

    Attributes
    ----------
    touched : by candidate, the version of the last event about it; what a form must have seen
    corrections : events that corrected ground truth and still count
    """

    version: int
    decisions: Mapping[RegionId, Decision]
    touched: Mapping[RegionId, int]
    corrections: Sequence[ReviewEvent]
    standing: Sequence[ReviewEvent]
    """Events that count, oldest first: those that can be undone."""
    events: Sequence[ReviewEvent] = ()
    """All of them, in the order of their versions."""

    def undoable(self, by: str) -> ReviewEvent | None:
        """A person's latest event that still counts, where nobody has touched it since."""
        for event in reversed(self.standing):
            if event.by != by:
                continue
            if all(self.touched[region] == event.version for region in event.regions):
                return event
            return None
        return None

    def undo_order(self, by: str) -> list[int]:
        """The versions of a person's events that still count, latest first."""
        standing = reversed(self.standing)
        return [event.version for event in standing if event.by == by]

    def event_of(self, act_id: str) -> ReviewEvent | None:
        """The event that this act of the page became; none where it has not arrived."""
        return next((event for event in self.events if act_id and event.act_id == act_id), None)

    def stale(self, seen: Seen) -> list[RegionId]:
        """Candidates that someone has decided since, other than by acts that the page showed."""
        return [
            region
            for region, version in seen.regions.items()
            if self.touched.get(region, 0) != version and not self._shows(seen, region)
        ]

    def _shows(self, seen: Seen, region: RegionId) -> bool:
        """Whether all that has happened to a candidate since the page was drawn was on it."""
        since = [event for event in self.events if event.version > seen.version]
        changes = [event.act_id for event in since if region in event.regions]
        return bool(changes) and set(changes) <= set(seen.acts)


def review_of(events: Sequence[ReviewEvent]) -> Review:
    """Fold a needle's events.

    Parameters
    ----------
    events : all of them, in the order of their versions
    """
    undone = {event.undoes for event in events if event.act is Act.UNDO}
    standing = [e for e in events if e.act is not Act.UNDO and e.version not in undone]
    decisions = {
        region: Decision(event.act, event.by, event.at)
        for event in standing
        if event.act in (Act.ACCEPT, Act.REJECT)
        for region in event.regions
    }
    return Review(
        version=events[-1].version if events else 0,
        decisions=decisions,
        touched=_touched(events, undone),
        corrections=[event for event in standing if event.act is Act.CORRECT],
        standing=standing,
        events=events,
    )


def _touched(events: Sequence[ReviewEvent], undone: Collection[int | None]) -> dict[RegionId, int]:
    """The last version that still counts for each candidate.

    An undone event hands its candidates back to the one before it, which can then be undone in
    turn; whoever saw that earlier state saw what is true again.
    """
    touched: dict[RegionId, int] = {}
    for event in events:
        if event.version not in undone and event.act is not Act.UNDO:
            touched |= dict.fromkeys(event.regions, event.version)
    return touched


def projection_of(
    review: Review, candidates: Collection[RegionId], shortlist_revision: int, last: ReviewEvent
) -> Projection:
    """What lists show of this review."""
    decided = [
        review.decisions[candidate] for candidate in candidates if candidate in review.decisions
    ]
    accepted = sum(decision.act is Act.ACCEPT for decision in decided)
    if candidates and len(decided) == len(candidates):
        progress = Progress.DONE
    elif decided or review.corrections:
        progress = Progress.STARTED
    else:
        progress = Progress.OPEN
    return Projection(
        version=review.version,
        progress=progress,
        decided=len(decided),
        accepted=accepted,
        shortlist_revision=shortlist_revision,
        by=last.by,
        at=last.at,
    )

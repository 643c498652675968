"""How fast people decide, how far they agree, and how long each family took them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final

from services.annotation.ports.reviews import Act, ReviewEvent
from services.annotation.review.decisions import Review, review_of
from services.contracts.identity import NeedleId, RegionId
from services.domain.statistics.significance import wilson_interval

PAUSE: Final = timedelta(minutes=5)
"""A longer time between two acts is a pause, and no work."""


@dataclass(frozen=True)
class PersonWork:
    """One person's acts in a period.

    Attributes
    ----------
    verdicts : candidates that the person decided, whether undone later or not
    time : spent on acts, see `work_of`
    timed : the verdicts in that time
    compared : candidates that another person has decided too, as *fails too* or *detector is
        right*, once for each such person
    agreed : of these, those with the same verdict
    """

    by: str
    verdicts: int = 0
    corrections: int = 0
    undone: int = 0
    time: timedelta = timedelta(0)
    timed: int = 0
    compared: int = 0
    agreed: int = 0

    @property
    def per_hour(self) -> float | None:
        """Verdicts per hour of work; None if no time is known."""
        return self.timed / (self.time / timedelta(hours=1)) if self.time else None

    @property
    def agreement(self) -> float | None:
        """The share of compared candidates with the same verdict."""
        return self.agreed / self.compared if self.compared else None

    @property
    def agreement_interval(self) -> tuple[float, float] | None:
        """Its 95% interval, by Wilson."""
        if self.agreement is None:
            return None
        return wilson_interval(self.agreement, self.compared)


@dataclass(frozen=True)
class Work:
    """The work of a period.

    Attributes
    ----------
    time : by needle, what all people spent on it
    confirmed : by needle, the number of candidates that fail too by a verdict of the period
    corrected : by needle, the number of frames with a correction of the period in force
    """

    people: Mapping[str, PersonWork]
    time: Mapping[NeedleId, timedelta]
    confirmed: Mapping[NeedleId, int]
    corrected: Mapping[NeedleId, int]


def time_by_needle(events: Iterable[ReviewEvent]) -> dict[NeedleId, timedelta]:
    """What all people spent on each needle; see `work_of`."""
    known = list(events)
    spent: defaultdict[NeedleId, timedelta] = defaultdict(timedelta)
    for event, time in zip(known, _times(known), strict=True):
        spent[event.needle_id] += time or timedelta(0)
    return dict(spent)


def work_of(events: Iterable[ReviewEvent]) -> Work:
    """The work behind these events of any needles.

    An act takes the time since the same person's act before it. After a pause nobody knows when
    work began again, so the first act counts neither as work nor as time.

    Parameters
    ----------
    events : oldest first
    """
    known = list(events)
    times = _times(known)
    by_needle: defaultdict[NeedleId, list[ReviewEvent]] = defaultdict(list)
    by_person: defaultdict[str, list[tuple[ReviewEvent, timedelta | None]]] = defaultdict(list)
    for event, time in zip(known, times, strict=True):
        by_needle[event.needle_id].append(event)
        by_person[event.by].append((event, time))
    reviews = {needle: review_of(_ordered(acts)) for needle, acts in by_needle.items()}
    compared, agreed = _agreements(reviews.values())
    people = {
        name: _person(name, acts, compared[name], agreed[name])
        for name, acts in sorted(by_person.items())
    }
    return Work(people, time_by_needle(known), _confirmed(reviews), _corrected(reviews))


def _times(events: Iterable[ReviewEvent]) -> list[timedelta | None]:
    """By event, the time since its person's event before; None after a pause."""
    last: dict[str, datetime] = {}
    times: list[timedelta | None] = []
    for event in events:
        since = event.at - last[event.by] if event.by in last else None
        times.append(since if since is not None and since <= PAUSE else None)
        last[event.by] = event.at
    return times


def _person(
    name: str, acts: Iterable[tuple[ReviewEvent, timedelta | None]], compared: int, agreed: int
) -> PersonWork:
    verdicts = corrections = undone = timed = 0
    time = timedelta(0)
    for event, since in acts:
        decided = len(event.regions) if event.decides else 0
        verdicts += decided
        corrections += event.act is Act.CORRECT
        undone += event.act is Act.UNDO
        if since is not None:
            time += since
            timed += decided
    return PersonWork(name, verdicts, corrections, undone, time, timed, compared, agreed)


def _agreements(
    reviews: Iterable[Review],
) -> tuple[Counter[str], Counter[str]]:
    """By person, how many candidates others have decided too, and how many alike."""
    compared, agreed = Counter[str](), Counter[str]()
    for review in reviews:
        latest: defaultdict[RegionId, dict[str, Act]] = defaultdict(dict)
        for event in review.in_force:
            if event.decides in (Act.ACCEPT, Act.REJECT):
                latest |= {r: {**latest[r], event.by: event.decides} for r in event.regions}
        for verdicts in latest.values():
            for pair in combinations(verdicts, 2):
                compared.update(pair)
                agreed.update(pair if verdicts[pair[0]] is verdicts[pair[1]] else ())
    return compared, agreed


def _confirmed(reviews: Mapping[NeedleId, Review]) -> dict[NeedleId, int]:
    return {
        needle: sum(decision.act is Act.ACCEPT for decision in review.decisions.values())
        for needle, review in reviews.items()
    }


def _corrected(reviews: Mapping[NeedleId, Review]) -> dict[NeedleId, int]:
    return {
        needle: len({event.frame_id for event in review.corrections})
        for needle, review in reviews.items()
    }


def _ordered(events: Iterable[ReviewEvent]) -> list[ReviewEvent]:
    return sorted(events, key=lambda event: event.version)

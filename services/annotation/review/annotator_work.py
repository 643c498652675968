"""How fast people decide, how far they agree, and how long each family took them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final

from services.annotation.decisions import Review, review_of
from services.annotation.ports.reviews import Act, ReviewEvent
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
    time : spent on acts, see `WorkCounts`
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


class WorkCounts:
    """Counts work act by act, without keeping the acts.

    An act takes the time since the same person's act before it. After a pause nobody knows when
    work began again, so the first act counts neither as work nor as time.
    """

    def __init__(self) -> None:
        self._last: dict[str, datetime] = {}
        self._people: defaultdict[str, _Acts] = defaultdict(_Acts)
        self._time: defaultdict[NeedleId, timedelta] = defaultdict(timedelta)
        self._compared, self._agreed = Counter[str](), Counter[str]()
        self._confirmed: dict[NeedleId, int] = {}
        self._corrected: dict[NeedleId, int] = {}

    def add_act(self, act: ReviewEvent) -> None:
        """Count a person's act; oldest first, of all needles."""
        since = act.at - self._last[act.by] if act.by in self._last else None
        self._last[act.by] = act.at
        time = since if since is not None and since <= PAUSE else None
        self._people[act.by].add(act, time)
        self._time[act.needle_id] += time or timedelta(0)

    def add_needle(self, acts: Sequence[ReviewEvent]) -> None:
        """Count what the acts about one needle come to; in version order."""
        review, needle_id = review_of(acts), acts[0].needle_id
        for verdicts in _verdicts(review):
            for pair in combinations(verdicts, 2):
                self._compared.update(pair)
                self._agreed.update(pair if verdicts[pair[0]] is verdicts[pair[1]] else ())
        decisions = review.decisions.values()
        self._confirmed[needle_id] = sum(decision.act is Act.ACCEPT for decision in decisions)
        self._corrected[needle_id] = len({event.frame_id for event in review.corrections})

    def work(self) -> Work:
        """The work of all acts that were added, both by themselves and by needle."""
        people = {
            name: acts.work(name, self._compared[name], self._agreed[name])
            for name, acts in sorted(self._people.items())
        }
        return Work(people, dict(self._time), self._confirmed, self._corrected)


@dataclass
class _Acts:
    """One person's acts so far; the attributes are those of `PersonWork`."""

    verdicts: int = 0
    corrections: int = 0
    undone: int = 0
    time: timedelta = timedelta(0)
    timed: int = 0

    def add(self, act: ReviewEvent, time: timedelta | None) -> None:
        """Count an act.

        Parameters
        ----------
        time : that it took; None after a pause
        """
        decided = len(act.regions) if act.decides else 0
        self.verdicts += decided
        self.corrections += act.act is Act.CORRECT
        self.undone += act.act is Act.UNDO
        if time is not None:
            self.time += time
            self.timed += decided

    def work(self, by: str, compared: int, agreed: int) -> PersonWork:
        """The acts, and how far the person agrees with others."""
        return PersonWork(by, **asdict(self), compared=compared, agreed=agreed)


def _verdicts(review: Review) -> Iterable[Mapping[str, Act]]:
    """By candidate, the latest verdict of each person."""
    latest: defaultdict[RegionId, dict[str, Act]] = defaultdict(dict)
    for event in review.in_force:
        if event.decides in (Act.ACCEPT, Act.REJECT):
            latest |= {r: {**latest[r], event.by: event.decides} for r in event.regions}
    return latest.values()

"""Dead letters as an operator works on them: one per record, with its state.

The state follows from what is on the dead letters' topic and from nothing else. Events may come
twice, in any order of partitions and by clocks that differ: what names a replay counts with that
replay, and only the rest by its time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.contracts import identity
from services.contracts.dead_letters import DeadLetterChanged, DeadLettered, LetterChange
from services.contracts.identity import LetterId, ReplayId

LetterEvent = DeadLettered | DeadLetterChanged


class LetterState(StrEnum):
    """Where a dead letter is."""

    OPEN = "open"
    REPLAYED = "replayed"
    """Sent again, and not answered by every service that had failed on it."""
    RESOLVED = "resolved"
    FAILED_AGAIN = "failed_again"
    DISCARDED = "discarded"


UNSETTLED: Final = frozenset({LetterState.OPEN, LetterState.REPLAYED, LetterState.FAILED_AGAIN})
"""The states in which a letter still waits for something, and counts."""
_MOST_REPLAYS: Final = 1000
TO_REPLAY: Final = frozenset({LetterState.OPEN, LetterState.FAILED_AGAIN})


@dataclass(frozen=True)
class Letter:
    """One record that could not be processed.

    Attributes
    ----------
    failures : the latest of each service, in the order of their times
    replays : how many times it was sent again
    """

    letter_id: LetterId
    state: LetterState
    failures: tuple[DeadLettered, ...]
    replays: int = 0

    @property
    def latest(self) -> DeadLettered:
        """The last failure."""
        return self.failures[-1]

    @property
    def is_replayable(self) -> bool:
        """Whether it was on a topic; else its file or place is to be mended."""
        return self.latest.original_topic is not None

    @property
    def next_replay(self) -> ReplayId:
        """Id of the next replay."""
        return identity.replay_id(self.letter_id, self.replays + 1)

    def failed(self, service: str | None, reason: str | None) -> bool:
        """Whether this service failed on it for this reason; none stands for any."""
        return any(
            service in (None, failure.service) and reason in (None, failure.reason)
            for failure in self.failures
        )


def fold_letters(events: Iterable[LetterEvent]) -> list[Letter]:
    """The letters that these events are about, in the order of their first failures.

    A change of a letter of which no failure is there (it expired) makes no letter.
    """
    by_letter: defaultdict[LetterId, dict[str, LetterEvent]] = defaultdict(dict)
    for event in events:
        by_letter[event.letter_id].setdefault(event.event_id, event)
    found = []
    for letter_id, of_letter in by_letter.items():
        if any(isinstance(item, DeadLettered) for item in of_letter.values()):
            found.append((_first_failure(of_letter), _folded(letter_id, of_letter)))
    found.sort(key=lambda pair: (pair[0], pair[1].letter_id))
    return [letter for _, letter in found]


def _first_failure(events: Mapping[str, LetterEvent]) -> datetime:
    return min(event.failed_at for event in events.values() if isinstance(event, DeadLettered))


def _folded(letter_id: LetterId, events: Mapping[str, LetterEvent]) -> Letter:
    replays = _replays(letter_id, events.values())
    failures: dict[str, DeadLettered] = {}
    unresolved: set[str] = set()
    state, begun = LetterState.OPEN, 0
    for number, event in _in_order(events.values(), replays):
        if number > begun:
            state, begun = LetterState.REPLAYED, number
        if isinstance(event, DeadLettered):
            failures.pop(event.service, None)
            failures[event.service] = event
            unresolved.add(event.service)
            state = LetterState.FAILED_AGAIN if begun else LetterState.OPEN
        elif event.change is LetterChange.DISCARDED:
            state = LetterState.DISCARDED
        elif event.change is LetterChange.RESOLVED and state is not LetterState.DISCARDED:
            unresolved.discard(event.service)
            if not unresolved:
                state = LetterState.RESOLVED
    return Letter(letter_id, state, tuple(failures.values()), len(replays))


def _replays(letter_id: LetterId, events: Iterable[LetterEvent]) -> dict[ReplayId, int]:
    """Numbers of the replays that anything speaks of, from 1.

    A replay whose own event is lost or late shows in what came of it.
    """
    named = {event.replay for event in events if event.replay is not None}
    numbers: dict[ReplayId, int] = {}
    # Ids follow from the numbers, and those in between may be unheard of.
    for number in range(1, _MOST_REPLAYS + 1):
        if named <= numbers.keys():
            break
        numbers[identity.replay_id(letter_id, number)] = number
    last = max((numbers[replay_id] for replay_id in named & numbers.keys()), default=0)
    return {replay: number for replay, number in numbers.items() if number <= last}


def _in_order(
    events: Iterable[LetterEvent], replays: Mapping[ReplayId, int]
) -> Sequence[tuple[int, LetterEvent]]:
    """The events with the number of the replay that they came after."""
    begins = sorted(
        (event.changed_at, replays.get(event.replay, 0))
        for event in events
        if isinstance(event, DeadLetterChanged)
        and event.change is LetterChange.REPLAYED
        and event.replay is not None
    )

    def place(event: LetterEvent) -> tuple[int, datetime]:
        at = event.failed_at if isinstance(event, DeadLettered) else event.changed_at
        if event.replay is not None:
            return replays.get(event.replay, 0), at
        return max((number for begun, number in begins if begun < at), default=0), at

    placed = [(*place(event), event) for event in events]
    placed.sort(key=lambda item: (item[0], item[1], item[2].event_id))
    return [(number, event) for number, _, event in placed]

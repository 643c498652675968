"""Dead letters as operators see them: one per record, with its state.

The state depends only on the events of the dead-letter topic. Events may be duplicated, arrive in
any order of partitions, and come from clocks that differ. Events that name a replay are therefore
ordered by that replay, and only the others by time.
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
    """The state of a dead letter."""

    OPEN = "open"
    REPLAYED = "replayed"
    """Sent again, and not yet processed by every service that had failed on it."""
    RESOLVED = "resolved"
    FAILED_AGAIN = "failed_again"
    DISCARDED = "discarded"


UNSETTLED: Final = frozenset({LetterState.OPEN, LetterState.REPLAYED, LetterState.FAILED_AGAIN})
"""The states that count as pending."""
TO_REPLAY: Final = frozenset({LetterState.OPEN, LetterState.FAILED_AGAIN})
_MAX_REPLAYS: Final = 1000


@dataclass(frozen=True)
class Letter:
    """One record that could not be processed.

    Attributes
    ----------
    failures : the latest failure of each service, oldest first
    replays : the number of times that it was sent again
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
        """Whether it came from a topic; otherwise its file must be fixed and imported again."""
        return self.latest.original_topic is not None

    @property
    def next_replay(self) -> ReplayId:
        """Id of the next replay."""
        return identity.replay_id(self.letter_id, self.replays + 1)

    def failed(self, service: str | None, reason: str | None) -> bool:
        """Whether this service failed on it for this reason; None matches any."""
        return any(
            service in (None, failure.service) and reason in (None, failure.reason)
            for failure in self.failures
        )


def fold_letters(events: Iterable[LetterEvent]) -> list[Letter]:
    """Fold events into dead letters, in the order of their first failures.

    Changes of a letter whose failures have expired from the topic are ignored, and letters about
    erased frames are left out.
    """
    by_letter: defaultdict[LetterId, dict[str, LetterEvent]] = defaultdict(dict)
    for event in events:
        by_letter[event.letter_id].setdefault(event.event_id, event)
    found = []
    for letter_id, of_letter in by_letter.items():
        if _is_erased(of_letter.values()):
            continue
        if any(isinstance(item, DeadLettered) for item in of_letter.values()):
            found.append((_first_failure(of_letter), _folded(letter_id, of_letter)))
    found.sort(key=lambda pair: (pair[0], pair[1].letter_id))
    return [letter for _, letter in found]


def _is_erased(events: Iterable[LetterEvent]) -> bool:
    return any(
        isinstance(event, DeadLetterChanged) and event.change is LetterChange.ERASED
        for event in events
    )


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
    """The numbers, from 1, of the replays up to the last one that any event names.

    A replay whose own event is lost or late is known from the events that it caused.
    """
    named = {event.replay for event in events if event.replay is not None}
    numbers: dict[ReplayId, int] = {}
    # Ids derive from numbers, so count up until all ids are found; some in between may be missing.
    for number in range(1, _MAX_REPLAYS + 1):
        if named <= numbers.keys():
            break
        numbers[identity.replay_id(letter_id, number)] = number
    last = max((numbers[replay_id] for replay_id in named & numbers.keys()), default=0)
    return {replay: number for replay, number in numbers.items() if number <= last}


def _in_order(
    events: Iterable[LetterEvent], replays: Mapping[ReplayId, int]
) -> Sequence[tuple[int, LetterEvent]]:
    """The events in order, each with the number of the replay that it follows."""
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

import random
from datetime import UTC, datetime, timedelta

import pytest

from services.contracts import identity
from services.contracts.dead_letters import (
    DeadLetterChanged,
    DeadLettered,
    LetterChange,
    letter_of_record,
)
from services.contracts.identity import ReplayId
from services.domain.dead_letters import Letter, LetterEvent, LetterState, fold_letters

START = datetime(2026, 5, 4, tzinfo=UTC)


def failure(
    service: str = "embedder", *, offset: int = 0, at: float = 0, replay: int = 0
) -> DeadLettered:
    bare = DeadLettered(
        service=service,
        reason="missing_image",
        detail="",
        original_topic="gaze.frames",
        partition=0,
        offset=offset,
        original_key=b"f",
        original_value=b"{}",
        failed_at=START + timedelta(seconds=at),
    )
    return bare.model_copy(update={"replay": number(replay)})


def number(replay: int) -> ReplayId | None:
    """The id of a letter's replay of this number."""
    letter = letter_of_record("gaze.frames", b"f", b"{}")
    return identity.replay_id(letter, replay) if replay else None


def change(
    what: LetterChange, *, at: float, replay: int = 0, service: str = ""
) -> DeadLetterChanged:
    return DeadLetterChanged(
        letter_id=failure().letter_id,
        change=what,
        replay=number(replay),
        service=service,
        partition_key="f",
        changed_at=START + timedelta(seconds=at),
    )


def only(*events: LetterEvent) -> Letter:
    (letter,) = fold_letters(events)
    return letter


REPLAYED, RESOLVED, DISCARDED, _ = LetterChange
TWICE = [failure("embedder"), failure("fp_miner", at=1)]
BY_EMBEDDER = change(RESOLVED, at=11, replay=1, service="embedder")
FIRST_REPLAY = [*TWICE, change(REPLAYED, at=10, replay=1)]


def test_a_record_is_one_letter_however_many_services_failed_on_it() -> None:
    letter = only(*TWICE)
    assert letter.state is LetterState.OPEN
    assert [failure.service for failure in letter.failures] == ["embedder", "fp_miner"]


def test_copies_that_earlier_replays_made_are_the_same_letter() -> None:
    # Before replays had a header: 400 records, two services, replayed once for each letter.
    copies = [
        failure(name, offset=offset) for name in ("embedder", "fp_miner") for offset in (1, 2, 3)
    ]
    assert len(only(*TWICE, *copies).failures) == 2


def test_two_records_are_two_letters() -> None:
    other = failure().model_copy(update={"original_value": b"other"})
    assert len(fold_letters([failure(), other])) == 2


@pytest.mark.parametrize(
    ("events", "state", "replays"),
    [
        (FIRST_REPLAY, LetterState.REPLAYED, 1),
        (
            [*FIRST_REPLAY, BY_EMBEDDER],
            LetterState.REPLAYED,
            1,
        ),
        (
            [
                *FIRST_REPLAY,
                BY_EMBEDDER,
                change(RESOLVED, at=12, replay=1, service="fp_miner"),
            ],
            LetterState.RESOLVED,
            1,
        ),
        (
            [
                *FIRST_REPLAY,
                BY_EMBEDDER,
                failure("fp_miner", offset=9, at=12, replay=1),
            ],
            LetterState.FAILED_AGAIN,
            1,
        ),
        (
            [
                *FIRST_REPLAY,
                failure("fp_miner", offset=9, at=12, replay=1),
                BY_EMBEDDER,
                change(REPLAYED, at=20, replay=2),
                change(RESOLVED, at=21, replay=2, service="fp_miner"),
            ],
            LetterState.RESOLVED,
            2,
        ),
        ([*TWICE, change(DISCARDED, at=5)], LetterState.DISCARDED, 0),
        ([*TWICE, change(DISCARDED, at=5), failure(offset=7, at=6)], LetterState.OPEN, 0),
    ],
)
def test_the_state_follows_whatever_order_the_events_come_in(
    events: list[LetterEvent], state: LetterState, replays: int
) -> None:
    for seed in range(20):
        shuffled = random.Random(seed).sample([*events, *events], 2 * len(events))
        letter = only(*shuffled)
        assert (letter.state, letter.replays) == (state, replays)


def test_a_replay_shows_in_its_outcome_where_its_own_event_is_missing() -> None:
    again = only(*TWICE, failure("embedder", offset=9, at=12, replay=2))
    assert (again.state, again.replays) == (LetterState.FAILED_AGAIN, 2)


def test_clocks_that_differ_do_not_put_an_answer_before_its_replay() -> None:
    early = change(RESOLVED, at=-100, replay=1, service="embedder")
    assert only(failure(), change(REPLAYED, at=10, replay=1), early).state is LetterState.RESOLVED


def test_a_replay_that_nobody_made_changes_nothing() -> None:
    forged = failure(offset=5).model_copy(update={"replay": "made up"})
    letter = only(failure(), forged)
    assert (letter.state, letter.replays) == (LetterState.OPEN, 0)
    change_ = change(REPLAYED, at=5).model_copy(update={"replay": "made up"})
    letter = only(failure(), change_, failure(offset=5, at=6))
    assert (letter.state, letter.replays) == (LetterState.OPEN, 0)


def test_a_change_of_a_letter_that_expired_is_left_out() -> None:
    assert fold_letters([change(DISCARDED, at=1)]) == []


def test_what_never_was_on_a_topic_is_a_letter_for_its_place_and_reason() -> None:
    places = [
        failure().model_copy(update={"original_topic": None, "location": place})
        for place in ("a:1", "a:1", "a:2")
    ]
    letters = fold_letters(places)
    assert [letter.latest.location for letter in letters] in (["a:1", "a:2"], ["a:2", "a:1"])
    assert not any(letter.is_replayable for letter in letters)

"""What is recorded of tables is what they hold."""

import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.ports.epochs import StateChanges
from services.retriever import changelog
from services.retriever.changelog import Changelog, Table, TableSpec

NUMBERS: TableSpec[str, tuple[int, float]] = TableSpec("numbers", str, tuple[int, float])
KEYS = st.sampled_from("abcde")
Numbers = Table[str, tuple[int, float]]
Act = Callable[[Numbers], object]


def put(key: str, number: int, share: float) -> Act:
    return lambda table: table.update({key: (number, share)})


def drop(key: str) -> Act:
    return lambda table: table.pop(key, None)


def clear(table: Numbers) -> None:
    table.clear()


ACTS = st.one_of(
    st.builds(put, KEYS, st.integers(0, 9), st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(drop, KEYS),
    st.just(clear),
)


def rows(log: Changelog) -> list[tuple[str, tuple[int, float]]]:
    """The rows in their order, on which it may depend which are dropped first."""
    return list(log.table(NUMBERS, "all").items())


@given(st.lists(st.lists(ACTS, max_size=6), max_size=6), st.integers(0, 6))
def test_who_reads_the_changes_has_the_same_rows_in_the_same_order(
    epochs: list[list[Act]], late: int
) -> None:
    log, recorded = Changelog(), list[StateChanges]()
    following = Changelog()
    following.table(NUMBERS, "all")
    for acts in epochs:
        for act in acts:
            act(log.table(NUMBERS, "all"))
        recorded.append(log.next())
        following.follow(recorded[-1:])
        assert rows(following) == rows(log)
    assert rows(Changelog(recorded)) == rows(log)
    # A process that has read some of it, and the rest later.
    other = Changelog(recorded[:late])
    rows(other)
    other.follow(recorded[late:])
    assert rows(other) == rows(log)


def test_all_rows_are_recorded_again_once_the_changes_are_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changelog, "_MIN_WHOLE_BYTES", 100)
    log, whole = Changelog(), 0
    for number in range(50):
        log.table(NUMBERS)["only"] = number, 0.5
        whole += log.next().is_whole
    assert 2 < whole < 25


def test_another_format_leaves_nothing() -> None:
    log = Changelog()
    log.table(NUMBERS)["a"] = 1, 0.5
    recorded = log.next()
    other = StateChanges(zlib.compress(b"1\n[]"), is_whole=False)
    assert dict(Changelog([recorded, other]).table(NUMBERS)) == {}

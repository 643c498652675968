import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from services.cli.progress import ProgressView


class Ticking:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def plain() -> Console:
    return Console(file=io.StringIO(), width=120)


def _lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_plain_output_has_at_most_one_line_in_two_seconds(clock: Ticking, plain: Console) -> None:
    with ProgressView(plain, clock) as view:
        for done in range(1, 101):
            clock.now += 0.1
            view.counted(frames=100, published=done)
    lines = _lines(plain)
    assert 5 <= len(lines) <= 7
    assert "published 100/100" in lines[-1]


def test_a_new_stage_is_always_said(clock: Ticking, plain: Console) -> None:
    with ProgressView(plain, clock) as view:
        view.at("starting")
        view.at("publishing")
    assert [line.split("  ")[-1] for line in _lines(plain)] == ["starting", "publishing"]


def test_the_last_counts_are_said_even_if_they_come_early(clock: Ticking, plain: Console) -> None:
    with ProgressView(plain, clock) as view:
        view.counted(frames=4, published=1)
        view.counted(published=4, lag=3)
    assert "published 4/4" in _lines(plain)[-1]
    assert "lag 3" in _lines(plain)[-1]


def test_nothing_new_is_not_said_again(clock: Ticking, plain: Console) -> None:
    with ProgressView(plain, clock) as view:
        for _ in range(5):
            clock.now += 10
            view.counted(frames=4, published=1)
    assert len(_lines(plain)) == 1


@pytest.fixture
def terminal() -> Iterator[Console]:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    yield console
    console.show_cursor(show=True)


def test_a_terminal_shows_every_stage_of_the_flow(clock: Ticking, terminal: Console) -> None:
    with ProgressView(terminal, clock) as view:
        view.at("mining")
        view.counted(frames=10, published=10, embedded=4, dead_letters=1)
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    for word in ("mining", "published", "embedded", "matched", "needles", "shortlist", "lag"):
        assert word in shown
    assert "dead letters" in shown

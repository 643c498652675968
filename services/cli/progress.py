"""Show progress: a live table on a terminal, a line every two seconds elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

LINE_EVERY_S = 2.0
"""Minimum interval between lines when the output is not a terminal."""


@dataclass(frozen=True)
class Progress:
    """Progress counts.

    Parameters
    ----------
    frames : frames of the data set; 0 while unknown
    drawn : frames that the demo has drawn
    published : frames that the broker has acknowledged, or that were rejected
    embedded, matched : frames that the services have finished
    lag : events that the services have not committed yet; None before the first poll
    """

    frames: int = 0
    drawn: int = 0
    published: int = 0
    embedded: int = 0
    matched: int = 0
    needles: int = 0
    shortlists: int = 0
    dead_letters: int = 0
    lag: int | None = None


@dataclass
class ProgressView:
    """Shows progress; a context manager."""

    console: Console
    monotonic: Callable[[], float]
    stage: str = ""
    progress: Progress = field(default_factory=Progress)
    _live: Live | None = None
    _started: float = 0.0
    _printed: float | None = None
    _last: str = ""
    _closed: bool = False

    def __enter__(self) -> Self:
        self._started = self.monotonic()
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=8, transient=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Show the last state and stop updating, so that more can be printed below."""
        if self._closed:
            return
        self._closed = True
        if self._live is not None:
            self._live.update(self._table())
            self._live.stop()
        else:
            self._print(force=True)

    def at(self, stage: str) -> None:
        """Show the current stage."""
        self.stage = stage
        if self._live is None:
            self.console.print(f"{self._clock()}  {stage}", highlight=False)
        self._show()

    def counted(self, **counts: int | None) -> None:
        """Update these counts."""
        self.progress = replace(self.progress, **counts)  # type: ignore[arg-type]  # by name
        self._show()

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(self._table())
        else:
            self._print(force=False)

    def _print(self, *, force: bool) -> None:
        now, line = self.monotonic(), self._line()
        early = self._printed is not None and now - self._printed < LINE_EVERY_S
        if not line or line == self._last or (early and not force):
            return
        self._printed, self._last = now, line
        self.console.print(f"{self._clock()}  {line}", highlight=False)

    def _clock(self) -> str:
        return f"{self.monotonic() - self._started:5.0f} s"

    def _line(self) -> str:
        return "  ".join(
            f"{name} {_count(done, total)}" for name, done, total in _rows(self.progress) if done
        )

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for name, done, total in _rows(self.progress):
            bar = ProgressBar(total=total, completed=min(done, total), width=36) if total else ""
            table.add_row(Text(name, style="cyan"), _count(done, total), bar)
        heading = Text.assemble((self._clock(), "dim"), "  ", (self.stage, "bold"))
        return Group(heading, table)


def _rows(progress: Progress) -> list[tuple[str, int, int]]:
    rows = [("drawn", progress.drawn, progress.frames)] if not progress.published else []
    rows += [
        ("published", progress.published, progress.frames),
        ("embedded", progress.embedded, progress.frames),
        ("matched", progress.matched, progress.frames),
        ("needles", progress.needles, 0),
        ("shortlist updates", progress.shortlists, 0),
        ("lag", progress.lag or 0, 0),
    ]
    if progress.dead_letters:
        rows.append(("dead letters", progress.dead_letters, 0))
    return rows


def _count(done: int, total: int) -> str:
    return f"{done:,}/{total:,}" if total else f"{done:,}"

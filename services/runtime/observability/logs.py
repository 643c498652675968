"""Logs: one event with fields per line; JSON in production, colours on a terminal."""

import logging
import sys
from collections import Counter
from typing import TextIO

import structlog

from services.runtime.observability.traces import ids_in_hand


def _in_hand(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The trace and the span that a line belongs to."""
    return {**event, **ids_in_hand()}


_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    _in_hand,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


_OURS = "services"
_QUIET_S = 30.0
_MOST_REMEMBERED = 1000  # some libraries fill in the arguments themselves


class RepeatedWarnings(logging.Filter):
    """Lets a library say the same thing once in a while, and then how often it did.

    A broker that is away makes each of its clients write some forty lines a second.

    Parameters
    ----------
    quiet_s : how long a message is not repeated, in seconds
    """

    def __init__(self, quiet_s: float) -> None:
        super().__init__()
        self._quiet_s = quiet_s
        self._said: dict[tuple[str, str], float] = {}
        self._held_back: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == _OURS or not isinstance(record.msg, str):
            return True
        # The message before its arguments are filled in: a port or a wait in it may vary.
        what = (record.name, record.msg)
        if record.created - self._said.get(what, 0.0) < self._quiet_s:
            self._held_back[what] += 1
            return False
        if len(self._said) >= _MOST_REMEMBERED:
            self._said.clear()
        self._said[what] = record.created
        held_back = self._held_back.pop(what, 0)
        if held_back:
            record.msg = f"{record.msg} (and {held_back} times since the last line)"
        return True


def configure_logs(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send our logs, and the libraries' warnings, to one stream.

    Parameters
    ----------
    level : from which our own events are shown
    stream : standard error where none is given, so that output can be piped
    """
    stream = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(terminal=stream.isatty()))
    handler.addFilter(RepeatedWarnings(_QUIET_S))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level)
    # On a busy machine it warns of every wait of its own thread; no one can do anything about it.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)


def _formatter(*, terminal: bool) -> logging.Formatter:
    last: list[structlog.typing.Processor] = (
        # Its own tracebacks show the values of variables, passwords among them.
        [
            structlog.dev.ConsoleRenderer(
                colors=True, exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=list(_SHARED),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )

"""Configures logs: one event with fields per line; JSON, or colours on a terminal."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TextIO

import structlog
from cachetools import LRUCache

from services.runtime.observability.traces import ids_in_hand


def _in_hand(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the ids of the current trace and span."""
    return {**event, **ids_in_hand()}


_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    _in_hand,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


_PACKAGE = "services"
_QUIET_S = 30.0
_MAX_REMEMBERED = 1000  # some libraries fill in the arguments themselves


@dataclass
class _Shown:
    """When a message was shown, in seconds since the epoch, and its repeats since."""

    at: float
    repeats: int = 0


class RepeatedWarnings(logging.Filter):
    """Limits how often a library repeats a message, and adds how often it was repeated.

    While the broker is down, each of its clients writes about forty lines a second.

    Parameters
    ----------
    quiet_s : least time between two equal messages, in seconds
    """

    def __init__(self, quiet_s: float) -> None:
        super().__init__()
        self._quiet_s = quiet_s
        self._shown: LRUCache[tuple[str, str], _Shown] = LRUCache(_MAX_REMEMBERED)
        self._lock = Lock()  # drivers log from their own threads

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == _PACKAGE or not isinstance(record.msg, str):
            return True
        # Compare messages before formatting, because a port or a delay in them may vary.
        key = (record.name, record.msg)
        with self._lock:
            shown = self._shown.get(key)
            if shown is not None and record.created - shown.at < self._quiet_s:
                shown.repeats += 1
                return False
            self._shown[key] = _Shown(record.created)
        if shown is not None and shown.repeats:
            record.msg = f"{record.msg} (and {shown.repeats} times since the last line)"
        return True


def configure_logs(
    *, level: str = "INFO", stream: TextIO | None = None, path: Path | None = None
) -> None:
    """Send Gazeloop's logs, and warnings of libraries, to one stream or file.

    Parameters
    ----------
    level : lowest level of Gazeloop's own events
    stream : standard error by default, so that a command's output can be piped
    path : file to append to, instead of the stream
    """
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
    stream = stream or sys.stderr
    handler = logging.FileHandler(path, encoding="utf-8") if path else logging.StreamHandler(stream)
    handler.setFormatter(_formatter(terminal=not path and stream.isatty()))
    handler.addFilter(RepeatedWarnings(_QUIET_S))
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, logging.FileHandler):
            former.close()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_PACKAGE).setLevel(level)
    # On a busy machine it warns of every delay of its own thread, which users cannot change.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)


def _formatter(*, terminal: bool) -> logging.Formatter:
    last: list[structlog.typing.Processor] = (
        # structlog's default tracebacks show the values of variables, which may be passwords.
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

"""A line on standard error for every logged error, where logs go to a file."""

import logging
import sys
from pathlib import Path
from typing import Any


class LogAlarm(logging.Handler):
    """Prints a line to standard error per logged error: a failing service ends the process.

    Parameters
    ----------
    path : the log file, which the line names
    """

    def __init__(self, path: Path) -> None:
        super().__init__(logging.ERROR)
        # Drivers log a lost broker over and over while we retry, so only our own errors count.
        self.addFilter(logging.Filter("services"))
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {}
        event = fields.get("event", record.getMessage())
        whose = fields.get("service", record.name)
        error = _error(fields.get("exc_info") or record.exc_info)
        cause = f": {type(error).__name__}: {error}" if error else ""
        sys.stderr.write(f"\ngazeloop: {whose}: {event}{cause}\nSee the log: {self.path}\n")


def log_path() -> Path | None:
    """The log file of this process; None if it logs elsewhere."""
    handlers = logging.getLogger().handlers
    return next((handler.path for handler in handlers if isinstance(handler, LogAlarm)), None)


def _error(info: object) -> BaseException | None:
    """The exception of a log record, in any of the forms that logging accepts."""
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return _error(info[1])
    return sys.exc_info()[1] if info else None

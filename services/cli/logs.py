"""Log to a file in the data folder, so that logs do not mix with a command's output."""

import logging
import sys
from pathlib import Path
from typing import Any

from services.runtime.embedded.private_folder import keep_private
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings


def log_to_file(settings: Settings, name: str) -> None:
    """Append JSON lines to `logs/<name>.log` in the data folder until the process ends.

    Errors are also printed to standard error.
    """
    keep_private(settings.data)
    path = settings.data / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    configure_logs(level=settings.log_level, path=path)
    logging.getLogger().addHandler(_Alarm(path))


class _Alarm(logging.Handler):
    """Prints a line to standard error per logged error: a failing service ends the process."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.ERROR)
        # Drivers log a lost broker over and over while we retry, so only our own errors count.
        self.addFilter(logging.Filter("services"))
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {}
        what = fields.get("event", record.getMessage())
        whose = fields.get("service", record.name)
        error = _error(fields.get("exc_info") or record.exc_info)
        why = f": {type(error).__name__}: {error}" if error else ""
        sys.stderr.write(f"\ngazeloop: {whose}: {what}{why}\nSee the log: {self.path}\n")


def log_path() -> Path | None:
    """The log file of this process; None if it logs elsewhere."""
    handlers = logging.getLogger().handlers
    return next((handler.path for handler in handlers if isinstance(handler, _Alarm)), None)


def _error(info: object) -> BaseException | None:
    """The exception of a log record, in any of the forms that logging accepts."""
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return _error(info[1])
    return sys.exc_info()[1] if info else None

"""Where logs go while a person watches a command's own output: to a file in the data folder."""

import logging
import sys
from pathlib import Path
from typing import Any

from services.runtime.embedded.private_folder import keep_private
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings


def log_to_file(settings: Settings, name: str) -> None:
    """Append JSON lines to `logs/<name>.log` in the data folder until the process ends.

    Errors are told to the person as well.
    """
    keep_private(settings.data)
    path = settings.data / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a", encoding="utf-8", buffering=1)
    configure_logs(level=settings.log_level, stream=stream)
    logging.getLogger().addHandler(_Alarm(path))


class _Alarm(logging.Handler):
    """One line on standard error per error: a service that fails ends the process at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.ERROR)
        # A driver that loses its broker says so many times over, and we retry.
        self.addFilter(logging.Filter("services"))
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {}
        what = fields.get("event", record.getMessage())
        whose = fields.get("service", record.name)
        error = _error(fields.get("exc_info") or record.exc_info)
        why = f": {type(error).__name__}: {error}" if error else ""
        sys.stderr.write(f"\ngazeloop: {whose}: {what}{why}\nThe log says more: {self._path}\n")


def _error(info: object) -> BaseException | None:
    """The exception that a log record is about, in any of the forms that logging takes."""
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return _error(info[1])
    return sys.exc_info()[1] if info else None

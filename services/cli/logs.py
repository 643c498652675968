"""Log to a file in the data folder, so that logs do not mix with a command's output."""

import logging

from services.cli.log_alarm import LogAlarm
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
    logging.getLogger().addHandler(LogAlarm(path))

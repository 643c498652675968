"""Where logs go while a person watches a command's own output: to a file in the data folder."""

from pathlib import Path

from services.runtime.logs import configure_logs


def log_to_file(path: Path, *, debug: bool = False) -> None:
    """Append JSON lines to a file until the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a", encoding="utf-8", buffering=1)
    configure_logs(level="DEBUG" if debug else "INFO", stream=stream)

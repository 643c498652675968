"""Where logs go: to a file where a person watches, as JSON lines to stderr where a machine does."""

import logging
import sys
from pathlib import Path
from typing import TextIO

import structlog

_QUIET = ("aiokafka", "faust", "kafka", "mode", "pymongo", "uvicorn.access", "asyncio", "urllib3")
"""Libraries that speak of every heartbeat: only their warnings are kept."""


def log_to_file(path: Path, *, debug: bool = False) -> None:
    """Append JSON lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _configure(path.open("a", encoding="utf-8", buffering=1), debug=debug)


def log_to_stderr(*, debug: bool = False) -> None:
    """Write JSON lines to stderr."""
    _configure(sys.stderr, debug=debug)


def _configure(stream: TextIO, *, debug: bool) -> None:
    level = logging.DEBUG if debug else logging.INFO
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    finish: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=finish)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )

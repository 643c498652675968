"""Opens the stores and the broker for a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.app.parts import App, joined
from services.cli.logs import log_to_file
from services.runtime.settings import Settings


@asynccontextmanager
async def opened(settings: Settings, log_name: str) -> AsyncIterator[App]:
    """The parts without services, with the log in a file of this name."""
    log_to_file(settings, log_name)
    async with joined(settings) as app:
        yield app

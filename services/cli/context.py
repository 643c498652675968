"""What all commands share when they run: settings from the global options, Ctrl-C handling."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import typer

from services.cli.console import console
from services.cli.global_options import GlobalOptions
from services.contracts.errors import NothingStored
from services.runtime.embedded.embedders import live_embedder
from services.runtime.embedded.mongod import FOLDER
from services.runtime.embedded.split import noted_split
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings

INTERRUPTED = 130
"""Exit code after Ctrl-C, by shell convention."""

_T = TypeVar("_T")


class Context(GlobalOptions):
    """The global options, and the settings with which they run a command."""

    def settings(self, **defaults: object) -> Settings:
        """The settings: options first, then the environment, `defaults`, and built-in defaults.

        If no embedder is set, the one that made the data folder's live vectors is used; if no
        split is, the one by which its frames were split.

        Raises
        ------
        InvalidSettings
            One is unknown or breaks its bounds.
        """
        values: dict[str, object] = dict(self.overrides)
        if self.data is not None:
            values["data"] = self.data
        if self.debug:
            values["log_level"] = "DEBUG"
        settings = load_settings(**values)
        set_fields = settings.model_fields_set
        values |= {name: value for name, value in defaults.items() if name not in set_fields}
        remembered = noted_split(load_settings(**values))
        if "embedder" not in set_fields and not settings.qdrant:
            remembered |= live_embedder(load_settings(**values).data)
        values |= {name: value for name, value in remembered.items() if name not in set_fields}
        return load_settings(**values)

    def stored(self) -> Settings:
        """The settings of a command that only reads; an empty data folder starts nothing.

        Raises
        ------
        NothingStored
            The data folder is empty, and the settings name no cluster.
        InvalidSettings
            As from `settings`.
        """
        settings = self.settings()
        named = settings.mongodb or settings.kafka
        if not named and not (settings.data / FOLDER).is_dir():
            raise NothingStored(f"nothing is stored in the data folder {settings.data}")
        return settings


def shared(ctx: typer.Context) -> Context:
    """The global options of the running command."""
    options = ctx.find_object(GlobalOptions) or GlobalOptions()
    return Context(options.data, options.overrides, options.debug)


def run(work: Callable[[], Coroutine[Any, Any, _T]], *, interrupted: str) -> _T:
    """Run a command's coroutine. Ctrl-C and SIGTERM cancel it, so that it stops cleanly.

    Parameters
    ----------
    interrupted : the message to print after an interruption
    """

    async def stoppable() -> _T:
        task = asyncio.current_task()
        assert task is not None
        with suppress(NotImplementedError):
            _cancel_on_signal(task)
        return await work()

    try:
        return asyncio.run(stoppable())
    except (KeyboardInterrupt, asyncio.CancelledError):
        console(stderr=True).print(f"Stopped. {interrupted}", highlight=False)
        raise typer.Exit(INTERRUPTED) from None


def _cancel_on_signal(task: asyncio.Task[Any]) -> None:
    """Let the first Ctrl-C or SIGTERM cancel the task; a second one ends the process as usual."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop_requested() -> None:
        for number in signals:
            loop.remove_signal_handler(number)
        console(stderr=True).print("\nStopping, so that nothing is lost …", highlight=False)
        task.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop_requested)

"""What all commands share: global options, settings, consoles and Ctrl-C handling."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from services.runtime.settings import Settings

INTERRUPTED = 130
"""Exit code after Ctrl-C, by shell convention."""

_PLAIN_WIDTH = 110
_T = TypeVar("_T")


@dataclass(frozen=True)
class Context:
    """The parsed global options."""

    data: Path | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    debug: bool = False

    def settings(self, **defaults: object) -> "Settings":
        """The settings: options first, then the environment, `defaults`, and built-in defaults.

        If no embedder is set, the one that made the data folder's live vectors is used.

        Raises
        ------
        InvalidSettings
            One is unknown or breaks its bounds.
        """
        from services.runtime.embedded.embedders import live_embedder  # noqa: PLC0415  # slow
        from services.runtime.settings import load_settings  # noqa: PLC0415

        given: dict[str, object] = dict(self.given)
        if self.data is not None:
            given["data"] = self.data
        if self.debug:
            given["log_level"] = "DEBUG"
        settings = load_settings(**given)
        given_fields = settings.model_fields_set
        given |= {name: value for name, value in defaults.items() if name not in given_fields}
        if "embedder" not in given_fields and not settings.qdrant:
            remembered = live_embedder(load_settings(**given).data)
            given |= {name: value for name, value in remembered.items() if name not in given_fields}
        return load_settings(**given)

    def stored(self) -> "Settings":
        """The settings of a command that only reads; an empty data folder starts nothing.

        Raises
        ------
        NothingStored
            The data folder is empty, and the settings name no cluster.
        InvalidSettings
            As from `settings`.
        """
        from services.contracts.errors import NothingStored  # noqa: PLC0415
        from services.runtime.embedded.mongod import FOLDER  # noqa: PLC0415  # slow

        settings = self.settings()
        named = settings.mongodb or settings.kafka
        if not named and not (settings.data / FOLDER).is_dir():
            raise NothingStored(f"nothing is stored in the data folder {settings.data}")
        return settings


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """Settings by name, from an option's `NAME=VALUE` strings.

    Raises
    ------
    typer.BadParameter
        One has no `=`.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        found[name.strip().lower().removeprefix("gazeloop_")] = value
    return found


def example(*commands: str) -> str:
    """Examples below a command's help."""
    lines = " \n\n".join(f"`gazeloop {command}`" for command in commands)
    return f"Example: {lines}" if len(commands) == 1 else f"Examples:\n\n{lines}"


def console(*, stderr: bool = False) -> Console:
    """The console for people: as wide as the terminal, or of a fixed width elsewhere."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PLAIN_WIDTH)


def shared(ctx: typer.Context) -> Context:
    """The global options of the running command."""
    found = ctx.find_object(Context)
    return found if found is not None else Context()


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
            _cancel_when_told(task)
        return await work()

    try:
        return asyncio.run(stoppable())
    except (KeyboardInterrupt, asyncio.CancelledError):
        console(stderr=True).print(f"Stopped. {interrupted}", highlight=False)
        raise typer.Exit(INTERRUPTED) from None


def _cancel_when_told(task: "asyncio.Task[Any]") -> None:
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

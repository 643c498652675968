"""Subcommands in two halves, each imported when it is needed, so that every help is fast.

The top-level help imports no subcommand (`LazyCommand`). A subcommand's own help imports its
options, and not what the command does with them (`done_by`).
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

P = ParamSpec("P")


def done_by(module: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Have a command's function declare its options and help, and another one do its work.

    Parameters
    ----------
    module : dotted name of the module, imported when the command runs, that has a function of the
        same name and with the same parameters
    """

    def declared(command: Callable[P, None]) -> Callable[P, None]:
        @wraps(command)
        def work(*args: P.args, **kwargs: P.kwargs) -> None:
            getattr(import_module(module), command.__name__)(*args, **kwargs)

        work.done_by = module  # type: ignore[attr-defined]  # for the test that compares the two
        return work

    return declared


class LazyCommand(TyperCommand):
    """A subcommand's line in the help of its group; imports the subcommand itself on demand.

    The module defines a Typer named `app`. If that has a callback, it is the subcommand, a group;
    otherwise, the subcommand is its command of this name.

    Parameters
    ----------
    module : dotted name of the module
    summary : the first line of the subcommand's own help, which the line repeats
    panel : heading of the help's section
    """

    def __init__(self, name: str, module: str, summary: str, panel: str) -> None:
        super().__init__(name, short_help=summary, rich_help_panel=panel)
        self._module = module

    def load(self) -> TyperCommand | TyperGroup:
        """The subcommand, imported."""
        app: typer.Typer = import_module(self._module).app
        app.rich_markup_mode = "markdown"
        group = get_group(app)
        if app.registered_callback:
            return group
        assert self.name is not None
        command = group.commands[self.name]
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *args: Any, **more: Any) -> Any:
        # Run, help and completion of a subcommand all begin here, then use the context's command.
        return self.load().make_context(*args, **more)

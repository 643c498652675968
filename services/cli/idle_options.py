"""Refuse options that a command would ignore."""

from collections.abc import Collection

import typer


def refuse_options(ctx: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse those of these parameters that the command line has.

    Raises
    ------
    typer.BadParameter
        There is one. It gives the reason, and names the options to leave out.
    """
    options = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name in names and _is_on_command_line(ctx, str(parameter.name))
    ]
    if options:
        raise typer.BadParameter(f"{why}: leave out {', '.join(options)}", ctx)


def _is_on_command_line(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"

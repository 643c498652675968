"""The `gazeloop` command: its global options and its subcommands.

Imports no subcommand, so that --help is fast: see `lazy.py`.
"""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.app.remedies import exit_code, explained
from services.cli.commands import Subcommands
from services.cli.console import console
from services.cli.global_options import GlobalOptions, pairs
from services.cli.log_alarm import log_path
from services.cli.version import version_line

_HELP = """
Finds the failures of a street-image detector, and other frames where it likely fails the same way.

**See it work** on a synthetic survey:

    gazeloop demo

**Mine your own data**, in one command:

    gazeloop mine coco --images DIR --ground-truth gt.json \\
        --predictions dt.json --detector ods@1.4

**Keep it running**, and feed it:

    gazeloop --data /srv/gl up
    gazeloop --data /srv/gl ingest coco --images DIR --ground-truth gt.json
    gazeloop --data /srv/gl report
"""
_EPILOG = """
Exit codes: 0 success; 1 failure or lost data (see the message); 2 wrong usage or settings; 130
stopped by Ctrl-C. Results are printed on standard output, progress on standard error; `--json`
prints JSON alone. Every command is safe to repeat: completed work is not repeated.
"""

app = typer.Typer(
    name="gazeloop",
    cls=Subcommands,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        print(version_line())  # noqa: T201  # the answer
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Data folder of the embedded stack. Default: `GAZELOOP_DATA`, else"
            " `./gazeloop-data` (the demo's: `./demo-data`).",
            file_okay=False,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting for this call, before the environment's; repeat it for more."
            " `gazeloop settings` lists them.",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, and log more.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Global options; place them before the command."""
    ctx.obj = GlobalOptions(data=data, overrides=pairs(overrides or [], "--set"), debug=debug)


def main() -> None:
    """Run the command line; the entry point of `gazeloop`."""
    try:
        app()
    except Exception as exc:  # the outermost frame: report every error to the user
        if "--debug" in sys.argv:
            raise
        path = None
        if logging.getLogger().handlers:  # without handlers, logging would print the traceback
            # A warning, because the log handler prints errors, and the next line prints this one.
            logging.getLogger("services.cli").warning("the command failed", exc_info=True)
            path = log_path()
        message = explained(exc, path)
        console(stderr=True).print(message, markup=True, highlight=False, soft_wrap=True)
        sys.exit(exit_code(exc))


if __name__ == "__main__":
    main()

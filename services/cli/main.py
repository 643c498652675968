"""The `gazeloop` command: its global options and its subcommands.

Heavy modules are imported only by the commands that need them, so that --help is fast.
"""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.app.remedies import explained
from services.cli import (
    benchmark_command,
    calibrate_command,
    cvat_command,
    dead_letters_command,
    demo_command,
    doctor_command,
    export_command,
    families_command,
    frames_command,
    ingest_command,
    label_studio_command,
    mine_command,
    models_command,
    questions_command,
    report_command,
    search_command,
    serve_command,
    settings_command,
    shortlists_command,
    status_command,
    tokens_command,
    topics_command,
    train_command,
    whiten_command,
)
from services.cli.context import Context, console, example, pairs
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
Exit codes: 0 success; 1 failure or lost data (see the message); 2 wrong usage; 130 stopped by
Ctrl-C. Every command is safe to repeat: completed work is not repeated.
"""

app = typer.Typer(
    name="gazeloop",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_MINE, _READ, _CORRECT = "Mine data", "View results", "Correct and retrain"
_MODELS, _OPERATE = "Embedding models", "Operate"

app.command(
    "demo",
    rich_help_panel=_MINE,
    epilog=example("demo", "--data /tmp/small demo --drives 10 --frames 8 --no-serve"),
)(demo_command.demo)
app.command(
    "up",
    rich_help_panel=_MINE,
    epilog=example("--data /srv/gl up", "--data /srv/gl --set http_port=9000 up"),
)(serve_command.up)
app.add_typer(mine_command.app, name="mine", rich_help_panel=_MINE)
app.add_typer(ingest_command.app, name="ingest", rich_help_panel=_MINE)

app.command(
    "report",
    rich_help_panel=_READ,
    epilog=example("report", "--data demo-data report --json | jq .needles"),
)(report_command.report)
app.command(
    "families",
    rich_help_panel=_READ,
    epilog=example("--data demo-data families", "--set family_likeness=0.6 families --most 50"),
)(families_command.families)
app.command(
    "search",
    rich_help_panel=_READ,
    epilog=example("--data demo-data search --image sign.jpg --box 120,80,40,40"),
)(search_command.search)
app.add_typer(shortlists_command.app, name="shortlists", rich_help_panel=_READ)
app.add_typer(frames_command.app, name="frames", rich_help_panel=_READ)

app.command(
    "export",
    rich_help_panel=_CORRECT,
    epilog=example("export --format cvat --to to-cvat --what shortlisted --images --proposals"),
)(export_command.export)
app.command(
    "training-set",
    rich_help_panel=_CORRECT,
    epilog=example("training-set --format yolo --to retrain --images"),
)(export_command.training_set)
app.add_typer(questions_command.app, name="questions", rich_help_panel=_CORRECT)
app.add_typer(cvat_command.app, name="cvat", rich_help_panel=_CORRECT)
app.add_typer(label_studio_command.app, name="label-studio", rich_help_panel=_CORRECT)

app.command(
    "train",
    rich_help_panel=_MODELS,
    epilog=example("train --backbone resnet18_scratch --coco gt.json --images DIR --epochs 30"),
)(train_command.train)
app.command(
    "whiten",
    rich_help_panel=_MODELS,
    epilog=example("--set embedder=resnet18 whiten --coco gt.json --images DIR --to w.safetensors"),
)(whiten_command.whiten)
app.command(
    "calibrate",
    rich_help_panel=_MODELS,
    epilog=example("--set embedder=resnet18 calibrate --coco gt.json --images DIR --to r18.int8"),
)(calibrate_command.calibrate)
app.add_typer(models_command.app, name="models", rich_help_panel=_MODELS)
app.add_typer(benchmark_command.app, name="benchmark", rich_help_panel=_MODELS)

app.command("status", rich_help_panel=_OPERATE, epilog=example("--data /srv/gl status"))(
    status_command.status
)
app.command("doctor", rich_help_panel=_OPERATE, epilog=doctor_command.EPILOG)(doctor_command.doctor)
app.command(
    "settings",
    rich_help_panel=_OPERATE,
    epilog=example("settings", "--set operating_score=0.4 settings"),
)(settings_command.settings)
app.command("run", rich_help_panel=_OPERATE, epilog=example("run embedder"))(
    serve_command.run_service
)
app.add_typer(dead_letters_command.app, name="dead-letters", rich_help_panel=_OPERATE)
app.add_typer(tokens_command.app, name="tokens", rich_help_panel=_OPERATE)
app.add_typer(topics_command.app, name="topics", rich_help_panel=_OPERATE)


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
    given: Annotated[
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
    ctx.obj = Context(data=data, given=pairs(given or [], "--set"), debug=debug)


def main() -> None:
    """Run the command line; the entry point of `gazeloop`."""
    try:
        app()
    except Exception as exc:  # the outermost frame: report every error to the user
        if "--debug" in sys.argv:
            raise
        path = None
        if logging.getLogger().handlers:  # without handlers, logging would print the traceback
            from services.cli.logs import log_path  # noqa: PLC0415  # slow

            # A warning, because the log handler prints errors, and the next line prints this one.
            logging.getLogger("services.cli").warning("the command failed", exc_info=True)
            path = log_path()
        console(stderr=True).print(explained(exc, path), highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""`gazeloop categories`: how a detector's category names map to the ground truth's."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)

DetectorScope = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR",
        help="`NAME@VERSION`, or `NAME` for all versions; a version's own names come first.",
        show_default=False,
    ),
]
PredictedNames = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="The detector's names.", show_default=False)
]


@app.callback()
def categories() -> None:
    """Map a detector's category names to those of the ground truth.

    Names that are equal need no map. A change matches the detector's frames again: matches,
    needles, shortlists and metrics follow, while stored predictions keep their own names.
    """


@app.command("show", epilog=example("categories show", "categories show --json"))
@done_by("services.cli.work.categories")
def show(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the maps, and categories that are predicted but neither annotated nor mapped."""


@app.command(
    "map",
    epilog=example("categories map ods stop_sign 'stop sign'", "categories map ods@2 halt halt"),
)
@done_by("services.cli.work.categories")
def map_names(
    ctx: typer.Context,
    detector: DetectorScope,
    names: PredictedNames,
    category: Annotated[
        str,
        typer.Argument(
            metavar="CATEGORY",
            help="The ground truth's name. Map a name to itself to stop reporting it as unknown.",
            show_default=False,
        ),
    ],
) -> None:
    """Map one or several of the detector's names to a category of the ground truth."""


@app.command("ignore", epilog=example("categories ignore ods person car"))
@done_by("services.cli.work.categories")
def ignore(ctx: typer.Context, detector: DetectorScope, names: PredictedNames) -> None:
    """Leave detections of these names out: they are neither right nor wrong."""


@app.command("unmap", epilog=example("categories unmap ods@2 stop_sign"))
@done_by("services.cli.work.categories")
def unmap(ctx: typer.Context, detector: DetectorScope, names: PredictedNames) -> None:
    """Drop these names from the map: each maps to itself again."""


@app.command("rematch", epilog=example("categories rematch ods"))
@done_by("services.cli.work.categories")
def rematch(ctx: typer.Context, detector: DetectorScope) -> None:
    """Match the detector's frames again: after operating scores in the settings have changed.

    Restart the services with the new settings first. Needles and misses then follow the scores.
    """


@app.command("load", epilog=example("categories load ods categories.json"))
@done_by("services.cli.work.categories")
def load(
    ctx: typer.Context,
    detector: DetectorScope,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help='JSON: `{"stop_sign": "stop sign", "person": null}`; null ignores a name.',
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ],
) -> None:
    """Map all names of a file; names that it does not list stay as they are."""

"""`gazeloop models`: fill, compare and switch embedding models without interrupting searches."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(
    no_args_is_help=True, help="Fill, compare and switch embedding models while searches continue."
)


@app.callback()
def models() -> None:
    """Fill, compare and switch embedding models while searches continue."""


@app.command("list", epilog=example("models list", "models list --json"))
@done_by("services.cli.work.models")
def list_(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every model that has vectors, with its number of frames; marks the live one."""


@app.command(epilog=example("--set embedder=resnet18 models fill", "models fill --follow"))
@done_by("services.cli.work.models")
def fill(
    ctx: typer.Context,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Also embed new frames as they arrive, until Ctrl-C.")
    ] = False,
) -> None:
    """Embed all stored frames with the configured embedder, next to the live model's vectors.

    Searches use the live model until `gazeloop models use`. Can be stopped and run again: finished
    work is kept. Also recomputes vectors that Qdrant has lost (`gazeloop doctor` finds those). Only
    one process can open an embedded Qdrant: use `gazeloop up --fill embedder=…` to fill while
    everything runs, and stop `up` to recompute lost vectors.
    """


@app.command(epilog=example("models compare", "models compare resnet18 squeezenet --json"))
@done_by("services.cli.work.models")
def compare(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Models, or parts of their ids. Default: all."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare models on past verdicts: which model's vectors rank the failures first.

    Uses the regions of corrected haystack frames. All intervals are 95% confidence intervals. While
    `gazeloop up` runs on the data folder, it is asked for the vectors.
    """


@app.command(epilog=example("models use resnet18"))
@done_by("services.cli.work.models")
def use(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A model's id, or a unique part of it.")
    ],
    *,
    incomplete: Annotated[
        bool,
        typer.Option("--incomplete", help="Switch even if frames of the live model are missing."),
    ] = False,
) -> None:
    """Make this model live: searches use it from now on. The previous model keeps its vectors.

    The retriever replans all shortlists at once. Refuses if searches would miss frames. Switch
    back with the same command. Works while `gazeloop up` runs.
    """


@app.command(
    epilog=example("models export network.zip", "--set embedder=resnet18 models export r18.zip")
)
@done_by("services.cli.work.models_export")
def export(
    ctx: typer.Context,
    to: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The file to write.")],
) -> None:
    """Write the configured embedder as a file that embeds without torch, by OpenVINO.

    Name the file with GAZELOOP_EMBEDDER where the embedder runs. Its vectors are those of the
    embedder it was made of, under the same model id: nothing is embedded again.
    """

"""`gazeloop undo`: take back what an import published, or what a detector version predicted."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command(
    "undo",
    epilog=example("undo 3f0c9a1be2d4 --dry-run", "undo 3f0c9a1be2d4", "undo --detector ods@1.4"),
)
@done_by("services.cli.work.undo")
def undo(
    ctx: typer.Context,
    import_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="As `imports list` shows it.", show_default=False),
    ] = None,
    *,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME@VERSION",
            help="Withdraw all predictions of this detector version.",
            show_default=False,
        ),
    ] = None,
    keep_annotations: Annotated[
        bool,
        typer.Option(
            "--keep-annotations",
            help="Of a campaign: keep what its frames' annotators did since the draw.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be taken back, and change nothing.")
    ] = False,
) -> None:
    """Take back what an import published, or what a detector version predicted.

    Predictions and ground truth become what they were before, or are withdrawn, as new revisions:
    history is kept. Needles and shortlists of theirs are retracted, and figures follow. What others
    have changed since stays, as do frames. A campaign of `sample draw` ends, and its frames get
    the ground truth that they had when they were drawn. After an interruption, the next `gazeloop
    undo`, or ingest, finishes what was begun.
    """

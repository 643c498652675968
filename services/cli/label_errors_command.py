"""`gazeloop label-errors`: annotations that detectors contradict."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by
from services.domain.mining.label_error import LabelError

app = typer.Typer()


@app.command(
    "label-errors",
    epilog=example("label-errors --kind missing --most 50", "label-errors --csv > to-check.csv"),
)
@done_by("services.cli.work.label_errors")
def label_errors(
    ctx: typer.Context,
    *,
    kind: Annotated[
        LabelError | None, typer.Option("--kind", help="Only errors of this kind.")
    ] = None,
    haystack: Annotated[
        bool, typer.Option("--haystack", help="Check annotated haystack frames too.")
    ] = False,
    most: Annotated[int, typer.Option("--most", min=1, help="Maximum number per kind.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print labels of the reference that are probably wrong, the most suspicious first.

    missing: a detector is sure of an object that nobody annotated. category: it finds another
    category there. placement: its box is elsewhere. With several detectors, the suspicion is their
    mean, so what all of them contradict comes first. Suspicions of two kinds cannot be compared.
    """

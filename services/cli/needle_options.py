"""The options that select needles, as the review page's filters do."""

from typing import Annotated

import typer

from services.annotation.ports.needle_filters import Stage
from services.contracts.events import ErrorType

CategoryFilter = Annotated[
    str | None, typer.Option("--category", help="Only needles with this predicted category.")
]
ErrorTypeFilter = Annotated[
    ErrorType | None, typer.Option("--error-type", help="Only needles of this error type.")
]
DetectorFilter = Annotated[
    str | None,
    typer.Option("--detector", metavar="NAME@VERSION", help="Only needles of this detector."),
]
DriveFilter = Annotated[str | None, typer.Option("--drive", help="Only needles of this drive.")]
StageFilter = Annotated[
    Stage | None, typer.Option("--stage", help="Only needles in this stage of review.")
]

"""The options that select needles, as the review page's filters do."""

from dataclasses import dataclass
from typing import Annotated

import typer

from services.annotation.ports.needle_filters import NeedleFilter, Stage
from services.contracts.events import ErrorType


@dataclass(frozen=True)
class NeedleOptions:
    """Selects needles; an option that is left out selects any."""

    category: Annotated[
        str | None, typer.Option("--category", help="Only needles with this predicted category.")
    ] = None
    error_type: Annotated[
        ErrorType | None, typer.Option("--error-type", help="Only needles of this error type.")
    ] = None
    detector: Annotated[
        str | None,
        typer.Option("--detector", metavar="NAME@VERSION", help="Only needles of this detector."),
    ] = None
    drive: Annotated[str | None, typer.Option("--drive", help="Only needles of this drive.")] = None
    stage: Annotated[
        Stage | None, typer.Option("--stage", help="Only needles in this stage of review.")
    ] = None

    def filter(self) -> NeedleFilter:
        """The needles that the options select."""
        return NeedleFilter(
            category=self.category,
            error_type=self.error_type,
            detector=self.detector,
            drive=self.drive,
            stage=self.stage,
        )

"""Read the file that `gazeloop sample draw` printed."""

from pathlib import Path

import typer
from pydantic import ValidationError

from services.evaluator.samples.report import DrawnSample


def read_sample(path: Path) -> DrawnSample:
    """The sample.

    Raises
    ------
    typer.BadParameter
        The file has another content.
    """
    try:
        return DrawnSample.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        detail = f"{path} is not what `gazeloop sample draw` prints: {exc.error_count()} errors"
        raise typer.BadParameter(detail, param_hint="FILE") from exc

"""Read a detector's results, and say what they were taken for."""

from pathlib import Path

from rich.console import Console

from services.formats.readers.detections.format_names import FormatName
from services.formats.readers.detections.output import Output
from services.formats.readers.detections.registry import read_output


def read_results(
    path: Path, format_name: FormatName, class_names: Path | None, *, out: Console
) -> Output:
    """Read the results, and print their format if it was guessed."""
    output = read_output(path, format_name, class_names)
    if format_name is FormatName.AUTO:
        out.print(f"results read as {output.format}", highlight=False)
    return output

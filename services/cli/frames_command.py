"""`gazeloop frames`: show a frame, and list frames that count neither as reference nor in mAP."""

from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def frames() -> None:
    """Show a frame, and list frames that do not count."""


@app.command("show", epilog=example("frames show survey:000000000238", "frames show 0238 --json"))
@done_by("services.cli.work.frames")
def show(
    ctx: typer.Context,
    frame: Annotated[
        str,
        typer.Argument(help="The frame's id, or a part that no other has.", show_default=False),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what is known of a frame: image, ground truth, predictions, needles, shortlists."""


@app.command("not-counted", epilog=example("frames not-counted --most 500"))
@done_by("services.cli.work.frames")
def not_counted(
    ctx: typer.Context,
    *,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Maximum number of frames to print.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all frames.")] = False,
) -> None:
    """Print the frames that count neither as reference nor in mAP, and why.

    A frame does not count if some of its annotations or detections were refused: missing objects
    would make correct detections count as wrong. To make it count, import the corrected file, or
    the same file with `--accept-partial`. A copy (another frame had the same image first) counts
    only with the setting `count_copies`.
    """

"""`gazeloop search`: find frames similar to an image, or to a region of it."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer()


@app.command(
    "search",
    epilog=example(
        "--data demo-data search --image sign.jpg --box 120,80,40,40",
        "search --text 'a bicycle on the back of a truck' --regions",
    ),
)
@done_by("services.cli.work.search")
def search(
    ctx: typer.Context,
    *,
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="FILE", exists=True, dir_okay=False, help="JPEG or PNG."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="TEXT",
            help="Search by words instead; needs an embedder with a text tower, such as CLIP.",
        ),
    ] = None,
    regions: Annotated[
        bool, typer.Option("--regions", help="With --text: similar regions, not frames.")
    ] = False,
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            metavar="X,Y,W,H",
            help="A region in pixels, to find similar regions; otherwise, similar frames.",
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--category", help="Only regions that a detector predicted as this category."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most frames.")] = 10,
    montage: Annotated[
        Path | None,
        typer.Option(
            "--montage", metavar="FILE", help="Output image. Default: in the data folder."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find frames similar to an image, to a region of it, or to a text, and draw them.

    Searches the vectors that the embedder has written. While `gazeloop up` runs on the data folder,
    it is asked for them.
    """

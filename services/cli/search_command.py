"""`gazeloop search`: find frames similar to an image, or to a region of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups

app = typer.Typer()


@dataclass(frozen=True)
class QueryOptions:
    """What to find similar frames or regions of, and how many.

    Raises
    ------
    typer.BadParameter
        Options contradict each other, or the region is none.
    """

    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="FILE", exists=True, dir_okay=False, help="JPEG or PNG."),
    ] = None
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="TEXT",
            help="Search by words instead; needs an embedder with a text tower, such as CLIP.",
        ),
    ] = None
    regions: Annotated[
        bool, typer.Option("--regions", help="With --text: similar regions, not frames.")
    ] = False
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            metavar="X,Y,W,H",
            help="A region in pixels, to find similar regions; otherwise, similar frames.",
        ),
    ] = None
    category: Annotated[
        str | None,
        typer.Option("--category", help="Only regions that a detector predicted as this category."),
    ] = None
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most frames.")] = 10

    def __post_init__(self) -> None:
        if (self.image is None) == (self.text is None):
            raise typer.BadParameter("give either --image or --text", param_hint="--text")
        if self.image is None and self.box is not None:
            raise typer.BadParameter("it is a region of --image", param_hint="--box")
        if self.image is not None and self.regions:
            raise typer.BadParameter("give --box, the region of the image", param_hint="--regions")
        if self.category is not None and self.box is None and not self.regions:
            raise typer.BadParameter(
                "frames have no category; give --box or --regions too", param_hint="--category"
            )


@app.command(
    "search",
    epilog=example(
        "--data demo-data search --image sign.jpg --box 120,80,40,40",
        "search --text 'a bicycle on the back of a truck' --regions",
    ),
)
@with_option_groups
@done_by("services.cli.work.search")
def search(
    ctx: typer.Context,
    *,
    query: QueryOptions,
    montage: Annotated[
        Path | None,
        typer.Option(
            "--montage",
            metavar="FILE",
            help="Output image, .png or .jpg. Default: in the data folder.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find frames similar to an image, to a region of it, or to a text, and draw them.

    Searches the vectors that the embedder has written. While `gazeloop up` runs on the data folder,
    it is asked for them.
    """

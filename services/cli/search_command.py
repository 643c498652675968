"""`gazeloop search`: find frames similar to an image, or to a region of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from services.app import searching
from services.app.parts import joined
from services.app.searching import Found
from services.cli.console import console
from services.cli.context import Context, example, run, shared
from services.cli.logs import log_to_file
from services.contracts.errors import InvalidImage
from services.contracts.identity import Box
from services.domain.ports.vectors import Where
from services.embedder.models.choosing import embedder_of
from services.runtime.embedded.private_folder import as_the_user_writes
from services.runtime.images import ImageLimits, inspect
from services.runtime.stores.vectors_open import open_vector_store

app = typer.Typer()


@dataclass(frozen=True)
class _Query:
    image: Path
    content: bytes
    box: Box | None
    category: str | None
    limit: int


@app.command(
    "search", epilog=example("--data demo-data search --image sign.jpg --box 120,80,40,40")
)
def search(
    ctx: typer.Context,
    *,
    image: Annotated[
        Path,
        typer.Option("--image", metavar="FILE", exists=True, dir_okay=False, help="JPEG or PNG."),
    ],
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
) -> None:
    """Find the frames most similar to an image, or to a region of it, and draw them.

    Searches the vectors that the embedder has written. Only one process can open an embedded
    Qdrant: stop `gazeloop up` first, or use a Qdrant server.
    """
    region = _box(box)
    if category is not None and region is None:
        raise typer.BadParameter("frames have no category; give --box too", param_hint="--category")
    context = shared(ctx)
    target = montage or context.stored().data / "search" / f"{image.stem}.png"
    query = _Query(image, image.read_bytes(), region, category, limit)
    found = run(
        lambda: _found(context, query, target),
        interrupted="Nothing was changed.",
    )
    _print(found)
    if found:
        console().print(f"Drawn in {target}", highlight=False)


def _box(text: str | None) -> Box | None:
    if text is None:
        return None
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not X,Y,W,H", param_hint="--box") from None
    if not (width > 0 and height > 0):
        raise typer.BadParameter("width and height must be above 0", param_hint="--box")
    return x, y, width, height


async def _found(context: Context, query: _Query, target: Path) -> list[Found]:

    settings = context.stored()
    log_to_file(settings, "search")
    limits = ImageLimits.of(settings)
    try:
        inspect(query.content, limits)
    except InvalidImage as exc:
        raise InvalidImage(f"{query.image}: {exc}") from exc
    where = Where(equals={"category": query.category} if query.category else {})
    search_query = searching.SearchQuery(query.content, query.box, where, query.limit)
    embedder = embedder_of(settings)
    vectors = open_vector_store(settings)
    try:
        async with joined(settings) as app:
            found = await searching.search(
                search_query, embedder, vectors, app.stores.frames, limits
            )
            if found:
                drawn = searching.drawn(search_query, found, app.stores.blobs, limits)
                with as_the_user_writes():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    drawn.save(target)
    finally:
        await vectors.close()
    return found


def _print(found: list[Found]) -> None:

    table = Table(box=None)
    for heading in ("", "frame", "drive", "category", "score", "similarity"):
        table.add_column(heading, justify="right" if heading in {"", "score"} else "left")
    for place, item in enumerate(found, start=1):
        captured, payload = item.frame.captured, item.hit.payload
        drive = captured.drive_id if captured is not None else None
        category, score = payload.get("category"), payload.get("score")
        table.add_row(
            str(place),
            item.frame.frame_id,
            drive or "",
            str(category or ""),
            "" if score is None else f"{float(score):.2f}",
            f"{item.hit.similarity:.3f}",
        )
    console().print(table if found else "Nothing was found.", highlight=False)

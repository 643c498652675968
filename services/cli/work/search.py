"""What `gazeloop search` does."""

from dataclasses import dataclass
from pathlib import Path

import typer
from rich.table import Table

from services.app import searching
from services.app.parts import joined
from services.app.read_vectors import open_vectors_to_read
from services.app.searching import Found, SearchQuery, TextQuery
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.contracts.errors import InvalidImage
from services.contracts.identity import Box
from services.domain.ports.vectors import Where
from services.embedder.models.choosing import embedder_of
from services.embedder.models.text_tower import TextTower
from services.runtime.embedded.private_folder import as_the_user_writes
from services.runtime.images import ImageLimits, inspect
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages


@dataclass(frozen=True)
class _Query:
    image: Path | None
    text: str
    regions: bool
    box: Box | None
    category: str | None
    limit: int


def search(
    ctx: typer.Context,
    *,
    image: Path | None,
    text: str | None,
    regions: bool,
    box: str | None,
    category: str | None,
    limit: int,
    montage: Path | None,
    as_json: bool,
) -> None:
    """Run `gazeloop search`."""
    region = _box(box)
    if (image is None) == (text is None):
        raise typer.BadParameter("give either --image or --text", param_hint="--text")
    if image is None and region is not None:
        raise typer.BadParameter("it is a region of --image", param_hint="--box")
    if image is not None and regions:
        raise typer.BadParameter("give --box, the region of the image", param_hint="--regions")
    if category is not None and region is None and not regions:
        raise typer.BadParameter(
            "frames have no category; give --box or --regions too", param_hint="--category"
        )
    context = shared(ctx)
    stem = image.stem if image is not None else "text"
    target = montage or context.stored().data / "search" / f"{stem}.png"
    query = _Query(image, text or "", regions, region, category, limit)
    found = run(
        lambda: _found(context, query, target),
        interrupted="Nothing was changed.",
    )
    if as_json:
        print_json([_document(item) for item in found])
    else:
        _print(found)
    if found:
        console(stderr=as_json).print(f"Drawn in {target}", highlight=False)


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
    asked = _asked(query, settings, limits)
    embedder = embedder_of(settings)
    vectors = open_vectors_to_read(settings)
    try:
        async with joined(settings) as app:
            frames = app.stores.frames
            found = (
                await searching.search(asked, embedder, vectors, frames, limits)
                if isinstance(asked, SearchQuery)
                else await searching.search_text(asked, embedder, vectors, frames)
            )
            if found:
                images = ShownImages.of(app.stores.blobs, app.settings)
                drawn = searching.drawn(asked, found, images, limits)
                with as_the_user_writes():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    drawn.save(target)
    finally:
        await vectors.close()
    return found


def _asked(query: _Query, settings: Settings, limits: ImageLimits) -> SearchQuery | TextQuery:
    """The search, once its image is known to be readable, or its text has a vector."""
    where = Where(equals={"category": query.category} if query.category else {})
    if query.image is None:
        vector = TextTower.of(settings).embed(query.text)
        return TextQuery(query.text, vector, query.regions, where, query.limit)
    content = query.image.read_bytes()
    try:
        inspect(content, limits)
    except InvalidImage as exc:
        raise InvalidImage(f"{query.image}: {exc}") from exc
    return SearchQuery(content, query.box, where, query.limit)


def _document(item: Found) -> dict[str, object]:
    captured, payload = item.frame.captured, item.hit.payload
    return {
        "frame_id": item.frame.frame_id,
        "drive_id": captured.drive_id if captured is not None else None,
        "category": payload.get("category"),
        "score": payload.get("score"),
        "similarity": item.hit.similarity,
    }


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

"""What `gazeloop search` does."""

from pathlib import Path

import typer
from rich.table import Table

from services.app import searching
from services.app.drawn_pictures import search_folder
from services.app.parts import joined
from services.app.read_vectors import open_vectors_to_read
from services.app.searching import Found, SearchQuery, TextQuery
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.cli.search_command import QueryOptions
from services.contracts.errors import InvalidImage
from services.contracts.identity import Box
from services.domain.ports.vectors import Where
from services.embedder.models.choosing import embedder_of
from services.embedder.models.text_tower import TextTower
from services.runtime.embedded.private_folder import as_the_user_writes
from services.runtime.images import ImageLimits, inspect
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages

_PICTURES = (".png", ".jpg", ".jpeg")


def search(ctx: typer.Context, *, query: QueryOptions, montage: Path | None, as_json: bool) -> None:
    """Run `gazeloop search`."""
    context, region = shared(ctx), _box(query.box)
    if montage is not None and montage.suffix.lower() not in _PICTURES:
        names = ", ".join(_PICTURES)
        raise typer.BadParameter(f"the file must end in {names}", param_hint="--montage")
    stem = query.image.stem if query.image is not None else "text"
    target = montage or search_folder(context.stored().data) / f"{stem}.png"
    found = run(
        lambda: _found(context, query, region, target),
        interrupted="Nothing was changed.",
    )
    if as_json:
        print_json([_document(item) for item in found])
    else:
        print_found(found)
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


async def _found(
    context: Context, query: QueryOptions, region: Box | None, target: Path
) -> list[Found]:
    settings = context.stored()
    log_to_file(settings, "search")
    limits = ImageLimits.of(settings)
    wanted = _wanted(query, region, settings, limits)
    embedder = embedder_of(settings)
    vectors = open_vectors_to_read(settings)
    try:
        async with joined(settings) as app:
            frames = app.stores.frames
            found = (
                await searching.search(wanted, embedder, vectors, frames, limits)
                if isinstance(wanted, SearchQuery)
                else await searching.search_text(wanted, embedder, vectors, frames)
            )
            if found:
                images = ShownImages.of(app.stores.blobs, app.settings)
                drawn = searching.drawn(wanted, found, images, limits)
                with as_the_user_writes():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    drawn.save(target)
    finally:
        await vectors.close()
    return found


def _wanted(
    query: QueryOptions, region: Box | None, settings: Settings, limits: ImageLimits
) -> SearchQuery | TextQuery:
    """The search, once its image is known to be readable, or its text has a vector."""
    where = Where(equals={"category": query.category} if query.category else {})
    if query.image is None:
        text = query.text or ""
        vector = TextTower.of(settings).embed(text)
        return TextQuery(text, vector, query.regions, where, query.limit)
    content = query.image.read_bytes()
    try:
        inspect(content, limits)
    except InvalidImage as exc:
        raise InvalidImage(f"{query.image}: {exc}") from exc
    return SearchQuery(content, region, where, query.limit)


def _document(item: Found) -> dict[str, object]:
    captured, payload = item.frame.captured, item.hit.payload
    return {
        "frame_id": item.frame.frame_id,
        "drive_id": captured.drive_id if captured is not None else None,
        "category": payload.get("category"),
        "score": payload.get("score"),
        "similarity": item.hit.similarity,
    }


def print_found(found: list[Found]) -> None:
    """Print the frames by falling similarity."""
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

"""What `gazeloop needles` does."""

import typer

from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import open_annotation_stores
from services.cli.context import Context, run, shared
from services.cli.needle_options import NeedleOptions
from services.cli.work.needle_rows import (
    EVERY,
    NeedlePage,
    print_needles,
    print_needles_json,
    read_needles,
)
from services.cli.work.opened import opened


def list_needles(ctx: typer.Context, *, needles: NeedleOptions, most: int, as_json: bool) -> None:
    """Run `gazeloop needles list`."""
    context = shared(ctx)
    limit, wanted = EVERY if as_json else most, needles.filter()
    page = run(lambda: _read(context, wanted, limit), interrupted="Nothing was changed.")
    if as_json:
        print_needles_json(page)
    else:
        print_needles(page, "No needle matches.")


async def _read(context: Context, wanted: NeedleFilter, limit: int) -> NeedlePage:
    async with opened(context.stored(), "needles") as app:
        stores = await open_annotation_stores(app.stores)
        return await read_needles(stores.needle_lists, wanted, limit)

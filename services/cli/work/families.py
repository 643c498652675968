"""What `gazeloop families` does."""

from datetime import datetime
from typing import Literal

import typer
from rich.table import Table

from services.app.parts import joined
from services.app.read_vectors import open_vectors_to_read
from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.domain.mining.families import Family
from services.domain.mining.family_changes import FamilyChange
from services.retriever.overview import Overview, read_overview

_CHANGES = 20


def families(ctx: typer.Context, *, most: int, as_json: bool) -> None:
    """Run `gazeloop families`."""
    context = shared(ctx)
    overview, changes = run(lambda: _read(context), interrupted="Nothing was changed.")
    if as_json:
        print_json([_document(family, overview) for family in overview.families])
        return
    if not overview.families:
        console().print("There are no needles here yet.", highlight=False)
        return
    print_families(overview, most)
    print_recheck(overview, most)
    for at, step in changes[:most]:
        change = "went into" if step.change == "merged" else "was split: now"
        needles = f"{step.needles} needle{'s' * (step.needles != 1)}"
        console().print(
            f"{at:%Y-%m-%d %H:%M}  {step.family[:8]} {change} {step.other[:8]} ({needles})",
            highlight=False,
        )


async def _read(context: Context) -> tuple[Overview, list[tuple[datetime, FamilyChange]]]:
    settings = context.stored()
    log_to_file(settings, "families")
    vectors = open_vectors_to_read(settings)
    try:
        async with joined(settings) as app:
            stores = app.stores
            overview = await read_overview(
                stores.needles, stores.matches, stores.frames, vectors, settings
            )
            return overview, await stores.family_marks.changes(_CHANGES)
    finally:
        await vectors.close()


def print_families(overview: Overview, most: int) -> None:
    """Print the largest families."""
    found = overview.families
    table = Table(box=None, title=f"{len(found)} families of needles", title_justify="left")
    for heading in ("family", "taken for", "error", "needles", "first seen", "last seen", "state"):
        justify: Literal["left", "right"] = "right" if heading == "needles" else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap="seen" in heading)
    table.add_column("exemplar on", overflow="fold")
    for family in found[:most]:
        table.add_row(
            family.family_id[:8],
            family.category,
            _error(family),
            str(family.size),
            f"{family.first_seen:%Y-%m-%d}",
            f"{family.last_seen:%Y-%m-%d}",
            "resolved" if family.resolved else "open",
            overview.needles[family.exemplar].frame_id,
        )
    console().print(table)
    _print_hidden(len(found) - most, "families")


def _document(family: Family, overview: Overview) -> dict[str, object]:
    return {
        "family_id": family.family_id,
        "category": family.category,
        "error_type": family.error_type.value,
        "true_category": family.true_category,
        "needles": family.size,
        "resolved": family.resolved,
        "first_seen": family.first_seen.isoformat(),
        "last_seen": family.last_seen.isoformat(),
        "exemplar": family.exemplar,
        "exemplar_frame": overview.needles[family.exemplar].frame_id,
    }


def _print_hidden(count: int, name: str) -> None:
    if count > 0:
        console().print(f"{count:,} more {name}: `--most`", highlight=False)


def _error(family: Family) -> str:
    really = f", really {family.true_category}" if family.true_category else ""
    return f"{family.error_type.value}{really}"


def print_recheck(overview: Overview, most: int) -> None:
    """Print the most suspicious needles, whose labels may be missing."""
    if not overview.recheck:
        return
    table = Table(box=None, title="Labels that may be missing", title_justify="left")
    for heading in ("suspicion", "category", "score", "frame", "box"):
        table.add_column(heading)
    for suspect in overview.recheck[:most]:
        needle = suspect.needle
        table.add_row(
            f"{suspect.suspicion:.2f}",
            needle.category,
            f"{needle.score:.2f}",
            needle.frame_id,
            ", ".join(f"{side:.0f}" for side in needle.bbox),
        )
    console().print(table)
    _print_hidden(len(overview.recheck) - most, "labels that may be missing")

"""Read a list of frames or regions that the review page wrote as CSV."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import typer

from services.contracts.identity import Category, FrameId, NeedleId, RegionId
from services.formats.csv_cells import text_of
from services.formats.writers.frames import Proposal

Listed = dict[FrameId, dict[RegionId, Proposal]]
_SIDES = ("x", "y", "width", "height")


def read_listed(path: Path) -> Listed:
    """The frames of a list, with the detected regions that it names.

    Raises
    ------
    typer.BadParameter
        The file is no such list.
    """
    found: Listed = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if "frame_id" not in (rows.fieldnames or ()):
                _refuse(f"{path} has no column frame_id")
            for row in rows:
                frame = found.setdefault(FrameId(text_of(row["frame_id"])), {})
                if (proposal := _proposal(row)) is not None:
                    frame[proposal.region_id] = proposal
    except (UnicodeDecodeError, csv.Error) as exc:
        _refuse(f"{path} is no CSV file: {exc}")
    return found


def _proposal(row: Mapping[str, str | None]) -> Proposal | None:
    """The row's region; None if it names none."""
    names = {name: text_of(row.get(name) or "") for name in ("region_id", "category")}
    if not all(names.values()):
        return None
    try:
        x, y, width, height, score = (float(row.get(name) or "") for name in (*_SIDES, "score"))
    except ValueError:
        x = y = width = height = score = math.nan
    if not all(map(math.isfinite, (x, y, width, height, score))) or min(width, height) <= 0:
        _refuse(f"region {names['region_id']} has no score or no box")
    needle = row.get("needle_id") or None
    return Proposal(
        RegionId(names["region_id"]),
        Category(names["category"]),
        score,
        (x, y, width, height),
        NeedleId(needle) if needle else None,
    )


def _refuse(detail: str) -> NoReturn:
    raise typer.BadParameter(detail, param_hint="--listed")

"""The tables of an export: frames, detections, needles, shortlists, verdicts and figures."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

from services.annotation.exporting import require_empty
from services.annotation.ports.reviews import ReviewEvent
from services.annotation.stores.opening import AnnotationStores
from services.contracts.bounds import FIRST_TIME
from services.contracts.events import Position
from services.contracts.matches import CategoryMatched
from services.domain.chunks import chunks
from services.domain.ports.figures import Figures
from services.domain.ports.frames import FrameRecord
from services.domain.ports.needles import NeedleRecord
from services.domain.reannotation import is_reannotated
from services.domain.withdrawal import in_force
from services.formats.writers.tables import Row, Table, TableFormat, TableWriter, table_writer
from services.runtime.durability import make_folder
from services.runtime.embedded.private_folder import as_the_user_writes

_PAGE = 1000
_ALL_AREAS = (1 << 10) - 1
"""The bits of a match for the ten IoU thresholds over all areas."""
_BOX: Final = dict.fromkeys(("x", "y", "width", "height"), float)

FRAMES: Final = Table(
    "frames",
    {
        **dict.fromkeys(("frame_id", "vehicle_id", "drive_id"), str),
        "captured_at": datetime,
        **dict.fromkeys(("lat", "lon", "heading"), float),
        **dict.fromkeys(("image_uri", "image_sha256"), str),
        **dict.fromkeys(("image_width", "image_height"), int),
        "copy_of": str,
        "annotated_objects": int,
        "annotation_source": str,
        "annotation_revision": int,
        "reannotated": bool,
    },
)
DETECTIONS: Final = Table(
    "detections",
    {
        **dict.fromkeys(("frame_id", "detector", "region_id", "category"), str),
        "score": float,
        **_BOX,
        "split": str,
        **dict.fromkeys(("shortlisted", "matched", "ignored"), bool),
        "matched_thresholds": int,
        "iou": float,
        **dict.fromkeys(("error_type", "true_category"), str),
    },
)
NEEDLES: Final = Table(
    "needles",
    {
        **dict.fromkeys(("needle_id", "detector", "frame_id", "region_id", "category"), str),
        "error_type": str,
        "true_category": str,
        "score": float,
        **_BOX,
        "active": bool,
        "revision": int,
        "captured_at": datetime,
        "candidates": int,
    },
)
SHORTLISTS: Final = Table(
    "shortlists",
    {
        "needle_id": str,
        **dict.fromkeys(("shortlist_revision", "rank"), int),
        **dict.fromkeys(("frame_id", "region_id", "category"), str),
        "score": float,
        **_BOX,
        **dict.fromkeys(("similarity", "evidence", "probability"), float),
        **dict.fromkeys(("model", "strategy", "method"), str),
    },
)
VERDICTS: Final = Table(
    "verdicts",
    {
        "needle_id": str,
        "version": int,
        **dict.fromkeys(("act", "region_id", "by"), str),
        "at": datetime,
        "undoes": int,
        "frame_id": str,
        "revision": int,
        "note": str,
    },
)
FIGURES: Final = Table("figures", {"detector": str, "at": datetime, "figure": str, "value": float})
TABLES: Final = (FRAMES, DETECTIONS, NEEDLES, SHORTLISTS, VERDICTS, FIGURES)

Pages = AsyncIterator[list[Row]]


async def write_tables(
    stores: AnnotationStores,
    form: TableFormat,
    folder: Path,
    advance: Callable[[str, int], None] = lambda _table, _rows: None,
) -> Mapping[str, int]:
    """Write every table to the folder; returns their numbers of rows.

    Rows are read and written in pages, so memory does not grow with the number of frames. Services
    may go on writing: each row is as it was when it was read.

    Parameters
    ----------
    advance : called with a table's name and the rows written to it so far

    Raises
    ------
    InvalidRecord
        `folder_in_use`: the folder is not empty.
    MissingPart
        The format needs a package that is not installed.
    StoreUnavailable
        A store does not answer.
    """
    written = dict.fromkeys((table.name for table in TABLES), 0)
    with ExitStack() as closing:
        writers = await asyncio.to_thread(opened_tables, TABLES, form, folder, closing)
        for table, pages in _sources(stores):
            async for page in pages:
                await asyncio.to_thread(writers[table.name].write, page)
                written[table.name] += len(page)
                advance(table.name, written[table.name])
    return written


@as_the_user_writes()
def opened_tables(
    tables: Iterable[Table], form: TableFormat, folder: Path, closing: ExitStack
) -> dict[str, TableWriter]:
    """New files for these tables, by name, which `closing` completes.

    Parameters
    ----------
    folder : made if there is none

    Raises
    ------
    InvalidRecord
        `folder_in_use`: the folder is not empty.
    MissingPart
        The format needs a package that is not installed.
    """
    require_empty(folder)
    make_folder(folder)
    return {
        table.name: closing.enter_context(table_writer(table, form, folder)) for table in tables
    }


def _sources(stores: AnnotationStores) -> list[tuple[Table, Pages]]:
    return [
        (FRAMES, _frames(stores)),
        (DETECTIONS, _detections(stores)),
        (NEEDLES, _needles(stores, lambda record: [needle_row(record)])),
        (SHORTLISTS, _needles(stores, shortlist_rows)),
        (VERDICTS, _verdicts(stores)),
        (FIGURES, _figures(stores)),
    ]


async def _frames(stores: AnnotationStores) -> Pages:
    frame_ids = await stores.frame_ids.captured()
    for ids in chunks(frame_ids, _PAGE):
        records = await stores.frames.load(ids)
        yield [frame_row(records[frame_id]) for frame_id in ids if frame_id in records]


async def _detections(stores: AnnotationStores) -> Pages:
    page: list[Row] = []
    async for match in stores.matches.scan():
        page += detection_rows(match)
        if len(page) >= _PAGE:
            yield page
            page = []
    yield page


async def _needles(
    stores: AnnotationStores, rows_of: Callable[[NeedleRecord], Sequence[Row]]
) -> Pages:
    page: list[Row] = []
    async for record in stores.needles.scan():
        page += rows_of(record) if record.needle is not None else ()
        if len(page) >= _PAGE:
            yield page
            page = []
    yield page


async def _verdicts(stores: AnnotationStores) -> Pages:
    async for events in stores.reviews.by_needle():
        yield [row for event in events for row in verdict_rows(event)]


async def _figures(stores: AnnotationStores) -> Pages:
    all_figures = await stores.figures.since(FIRST_TIME)
    yield [row for figures in all_figures for row in figure_rows(figures)]


def frame_row(record: FrameRecord) -> Row:
    """A captured frame."""
    captured, truth = record.captured, in_force(record.ground_truth)
    assert captured is not None
    place: Position | None = captured.position
    return {
        "frame_id": record.frame_id,
        "vehicle_id": captured.vehicle_id,
        "drive_id": captured.drive_id,
        "captured_at": captured.captured_at,
        "lat": place and place.lat,
        "lon": place and place.lon,
        "heading": place and place.heading,
        "image_uri": captured.image.uri,
        "image_sha256": captured.image.sha256,
        "image_width": captured.image.width,
        "image_height": captured.image.height,
        "copy_of": record.original if record.is_copy else None,
        "annotated_objects": None if truth is None else len(truth.annotations),
        "annotation_source": truth and truth.annotation_source,
        "annotation_revision": truth and truth.revision,
        "reannotated": is_reannotated(truth),
    }


def detection_rows(match: CategoryMatched) -> list[Row]:
    """The detections of one category on one frame, as matched."""
    return [
        {
            "frame_id": match.frame_id,
            "detector": match.detector,
            "region_id": match.regions[k],
            "category": match.category,
            "score": match.scores[k],
            **_box(match.bboxes[k]),
            "split": match.split.value,
            "shortlisted": match.shortlisted,
            "matched": bool(match.matched[k] & 1),
            "ignored": bool(match.ignored[k] & 1),
            "matched_thresholds": (match.matched[k] & _ALL_AREAS).bit_count(),
            "iou": match.overlaps[k],
            "error_type": match.errors[k],
            "true_category": match.true_categories[k],
        }
        for k in range(len(match.regions))
    ]


def needle_row(record: NeedleRecord) -> Row:
    """A needle, active or retracted."""
    needle = record.needle
    assert needle is not None
    return {
        "needle_id": record.needle_id,
        "detector": needle.detector,
        "frame_id": needle.frame_id,
        "region_id": needle.region_id,
        "category": needle.category,
        "error_type": needle.error_type.value,
        "true_category": needle.true_category,
        "score": needle.score,
        **_box(needle.bbox),
        "active": record.active,
        "revision": needle.revision,
        "captured_at": needle.captured_at,
        "candidates": len(record.shortlist.candidates) if record.shortlist else 0,
    }


def shortlist_rows(record: NeedleRecord) -> list[Row]:
    """The candidates of a needle's shortlist in their order; rank counts from 1."""
    shortlist = record.shortlist
    if shortlist is None:
        return []
    return [
        {
            "needle_id": record.needle_id,
            "shortlist_revision": shortlist.revision,
            "rank": rank,
            "frame_id": candidate.frame_id,
            "region_id": candidate.region_id,
            "category": candidate.category,
            "score": candidate.score,
            **_box(candidate.bbox),
            "similarity": candidate.similarity,
            "evidence": candidate.evidence,
            "probability": candidate.probability,
            "model": shortlist.provenance.model,
            "strategy": shortlist.provenance.strategy,
            "method": shortlist.provenance.method,
        }
        for rank, candidate in enumerate(shortlist.candidates, 1)
    ]


def verdict_rows(event: ReviewEvent) -> list[Row]:
    """An act of a review, with a row per candidate that it is about; undone ones too."""
    fixed: Row = {
        "needle_id": event.needle_id,
        "version": event.version,
        "act": event.act.value,
        "by": event.by,
        "at": event.at,
        "undoes": event.undoes,
        "frame_id": event.frame_id,
        "revision": event.revision,
        "note": event.note or None,
    }
    return [{**fixed, "region_id": region} for region in event.regions or (None,)]


def figure_rows(figures: Figures) -> list[Row]:
    """One detector's figures at one time, a row each; undefined ones have no value."""
    return [
        {"detector": figures.detector, "at": figures.at, "figure": name, "value": value}
        for name, value in _flattened(asdict(figures))
    ]


def _flattened(
    figures: Mapping[str, object], prefix: str = ""
) -> Iterator[tuple[str, float | None]]:
    """The single numbers, by their path; of an interval, its bounds."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            low, high = value
            yield f"{prefix}{name}.low", low
            yield f"{prefix}{name}.high", high
        elif value is None or isinstance(value, float | int):
            yield f"{prefix}{name}", value


def _box(bbox: Sequence[float]) -> Row:
    return dict(zip(_BOX, bbox, strict=True))

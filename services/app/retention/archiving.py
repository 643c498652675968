"""Writes cold frames with their predictions to tables, before they are erased."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

from services.annotation.tables import FRAMES, frame_row, opened_tables
from services.app.retention.cold_frames import all_cold
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.retention import RetentionStore
from services.domain.splits import SplitRule
from services.formats.writers.tables import Row, Table, TableFormat

_PAGE: Final = 500
PREDICTIONS: Final = Table(
    "predictions",
    {
        **dict.fromkeys(("frame_id", "detector", "region_id", "category"), str),
        "revision": int,
        **dict.fromkeys(("score", "x", "y", "width", "height"), float),
    },
)


async def archive_cold_frames(
    store: RetentionStore,
    frames: FrameStore,
    rule: SplitRule,
    before: datetime,
    *,
    form: TableFormat,
    folder: Path,
) -> Mapping[str, int]:
    """Write the frames that were stored before a time; returns the tables' numbers of rows.

    Once all is written, the time is noted: until then, retention that waits for archives erases
    none of them.

    Raises
    ------
    InvalidRecord
        `folder_in_use`: the folder is not empty.
    MissingPart
        The format needs a package that is not installed.
    StoreUnavailable
        A store does not answer.
    """
    tables = (FRAMES, PREDICTIONS)
    written = dict.fromkeys((table.name for table in tables), 0)
    with ExitStack() as closing:
        writers = await asyncio.to_thread(opened_tables, tables, form, folder, closing)
        async for frame_ids in all_cold(store, rule, before, _PAGE):
            records = await frames.load(frame_ids)
            captured = [r for r in records.values() if r.captured is not None]
            rows: dict[str, Sequence[Row]] = {
                FRAMES.name: [frame_row(record) for record in captured],
                PREDICTIONS.name: [row for record in captured for row in prediction_rows(record)],
            }
            for name, table_rows in rows.items():
                await asyncio.to_thread(writers[name].write, table_rows)
                written[name] += len(table_rows)
    await store.note_archived(before)
    return written


def prediction_rows(record: FrameRecord) -> list[Row]:
    """Every detection on a frame, by the detector's own names."""
    return [
        {
            "frame_id": record.frame_id,
            "detector": detector,
            "region_id": region,
            "category": detection.category,
            "revision": predictions.revision,
            "score": detection.score,
            **dict(zip(("x", "y", "width", "height"), detection.bbox, strict=True)),
        }
        for detector, predictions in sorted(record.predictions.items())
        for region, detection in zip(predictions.region_ids(), predictions.detections, strict=True)
    ]

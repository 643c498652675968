"""Campaigns of frames that are drawn by chance, as runs that can be undone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId, ImportId, import_id
from services.domain.chunks import chunks
from services.domain.ports.frames import FrameStore
from services.domain.ports.imports import ImportItem, ImportKind, ImportRun, ImportStore, Part
from services.domain.ports.paging import pages
from services.evaluator.samples.report import DrawnSample

_AT_ONCE: Final = 500


def campaign_id(sample: DrawnSample) -> ImportId:
    """The id of a campaign; draws of the same name for the same detector are one campaign."""
    return import_id(f"{ImportKind.CAMPAIGN} {sample.campaign}", sample.detector)


async def note_campaign(
    imports: ImportStore, frames: FrameStore, sample: DrawnSample, by: str, at: datetime
) -> None:
    """Note the drawn frames with their ground truth of now; frames noted before stay as they are.

    Raises
    ------
    InvalidRecord
        `undone_campaign`: somebody has undone it.
    StoreUnavailable
        The store does not answer.
    """
    await refuse_undone(imports, sample)
    run_id = campaign_id(sample)
    new = sorted(sample.frames.keys() - await _noted(imports, run_id))
    for chunk in chunks(new, _AT_ONCE):
        await imports.note(run_id, await _items(frames, chunk))
    await imports.begin(ImportRun(run_id, ImportKind.CAMPAIGN, sample.campaign, by, at))


async def refuse_undone(imports: ImportStore, sample: DrawnSample) -> None:
    """Refuse a campaign that somebody has undone.

    Raises
    ------
    InvalidRecord
        `undone_campaign`: it is.
    StoreUnavailable
        The store does not answer.
    """
    undo = await imports.undo_of(campaign_id(sample))
    if undo is not None:
        detail = f"{undo.by} has undone the campaign {sample.campaign!r}: draw one of another name"
        raise InvalidRecord(detail, reason="undone_campaign")


async def _noted(imports: ImportStore, run_id: ImportId) -> set[FrameId]:
    read = pages(lambda after: imports.items_after(run_id, after, _AT_ONCE))
    return {item.frame_id async for items, _ in read for item in items}


async def _items(frames: FrameStore, frame_ids: Sequence[FrameId]) -> list[ImportItem]:
    records = await frames.load(frame_ids)
    truths = {frame_id: record.ground_truth for frame_id, record in records.items()}
    return [
        ImportItem(Part.GROUND_TRUTH, frame_id, truth.revision if truth else 0, None, truth)
        for frame_id in frame_ids
        for truth in [truths.get(frame_id)]
    ]

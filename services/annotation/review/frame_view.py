"""The data of a frame's page."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.annotation.ports.drive_frames import DriveNeighbours
from services.annotation.ports.frame_times import TruthRevision
from services.annotation.ports.needle_lists import NeedleRow
from services.annotation.ports.reviews import ReviewEvent
from services.annotation.review.context import ReviewContext
from services.annotation.review.overlay import Picture, whole
from services.annotation.review.pipeline_steps import PipelineStep, ResultCounts, pipeline_steps
from services.contracts.events import FrameAnnotated
from services.contracts.identity import DetectorId
from services.domain.ports.frames import FrameRecord

_SIDES: Final = ("left", "right")
"""Detectors whose predictions are drawn side by side, as the address names them."""


@dataclass(frozen=True)
class FrameView:
    """The data of the whole page.

    Attributes
    ----------
    needles : on this frame
    shortlists : the needles whose shortlist names this frame
    corrections : acts of review that changed the ground truth
    compared : the detectors of `pictures`
    """

    record: FrameRecord
    truth: FrameAnnotated | None
    needles: Sequence[NeedleRow]
    shortlists: Sequence[NeedleRow]
    corrections: Sequence[ReviewEvent]
    revisions: Sequence[TruthRevision]
    neighbours: DriveNeighbours
    compared: Sequence[DetectorId]
    pictures: Sequence[Picture | None]
    steps: Sequence[PipelineStep]


async def frame_view(
    context: ReviewContext, record: FrameRecord, params: Mapping[str, str]
) -> FrameView:
    """The data of a frame's page.

    Parameters
    ----------
    params : of the address, which may name two detectors to compare

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    frame_id, stores = record.frame_id, context.stores
    truth, needles, shortlists, corrections, matches = await asyncio.gather(
        context.corrector.ground_truth(record),
        stores.needle_lists.of_frame(frame_id),
        stores.needle_lists.naming(frame_id),
        stores.reviews.of_frame(frame_id),
        stores.matches.load([frame_id]),
    )
    times, revisions, neighbours = await asyncio.gather(
        stores.frame_times.of(frame_id),
        stores.frame_times.revisions(frame_id),
        _neighbours(context, record),
    )
    compared = _compared(record, params)
    counts = ResultCounts(len(matches), len(needles), len(shortlists))
    return FrameView(
        record=record,
        truth=truth,
        needles=needles,
        shortlists=shortlists,
        corrections=corrections,
        revisions=revisions,
        neighbours=neighbours,
        compared=compared,
        pictures=_pictures(record, truth, compared),
        steps=pipeline_steps(record, truth, times, counts),
    )


async def _neighbours(context: ReviewContext, record: FrameRecord) -> DriveNeighbours:
    captured = record.captured
    if captured is None or captured.drive_id is None:
        return DriveNeighbours()
    return await context.stores.drive_frames.neighbours(
        record.frame_id, captured.drive_id, captured.captured_at
    )


def _compared(record: FrameRecord, params: Mapping[str, str]) -> list[DetectorId]:
    """The detectors whose predictions are drawn side by side: those asked for, or the last two."""
    known = sorted(record.predictions)
    asked = [DetectorId(name) for side in _SIDES if (name := params.get(side, ""))]
    return asked if len(asked) == len(_SIDES) and set(asked) <= set(known) else known[-2:]


def _pictures(
    record: FrameRecord, truth: FrameAnnotated | None, compared: Sequence[DetectorId]
) -> list[Picture | None]:
    """The frame with the boxes of each of these detectors; without a detector, just once."""
    return [
        whole(
            record,
            truth,
            detector=name,
            alt=f"frame {record.frame_id}, {name or 'no predictions'}",
        )
        for name in (*compared,) or (None,)
    ]

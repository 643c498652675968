"""The frames that people have reviewed, by needle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.annotation.decisions import review_of
from services.annotation.ports.reviews import Act, ReviewEvent
from services.annotation.stores.opening import AnnotationStores
from services.contracts.identity import FrameId, NeedleId
from services.contracts.needles import NeedleFound
from services.domain.ports.needles import NeedleRecord

_LOADED: Final = 500
"""Needles per query."""


@dataclass(frozen=True)
class ReviewedNeedle:
    """A needle, and the frames of its shortlist that people decided or corrected."""

    needle: NeedleFound
    frames: frozenset[FrameId]


async def reviewed_needles(stores: AnnotationStores) -> list[ReviewedNeedle]:
    """The active needles with reviewed frames; misses have none, because they name no detection.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    found: list[ReviewedNeedle] = []
    waiting: dict[NeedleId, list[ReviewEvent]] = {}
    async for events in stores.reviews.by_needle():
        waiting[events[0].needle_id] = events
        if len(waiting) == _LOADED:
            found += await _reviewed(stores, waiting)
            waiting = {}
    return found + await _reviewed(stores, waiting)


async def _reviewed(
    stores: AnnotationStores, events: Mapping[NeedleId, Sequence[ReviewEvent]]
) -> list[ReviewedNeedle]:
    """Those of these needles that are active and have reviewed frames."""
    found = []
    for needle_id, record in (await stores.needles.load([*events])).items():
        frames = _frames(record, events[needle_id])
        if record.active and record.needle is not None and not record.is_miss and frames:
            found.append(ReviewedNeedle(record.needle, frames))
    return found


def _frames(record: NeedleRecord, events: Sequence[ReviewEvent]) -> frozenset[FrameId]:
    review = review_of(events)
    decided = {
        region
        for region, decision in review.decisions.items()
        if decision.act in (Act.ACCEPT, Act.REJECT)
    }
    listed = record.shortlist.candidates if record.shortlist else ()
    corrected = {event.frame_id for event in review.corrections if event.frame_id is not None}
    return frozenset(corrected | {item.frame_id for item in listed if item.region_id in decided})

"""Needles and shortlists of erased frames: withdrawn from their readers, then deleted."""

from collections.abc import Collection

from services.contracts.bounds import FIRST_TIME
from services.contracts.errors import StoreUnavailable
from services.contracts.identity import FrameId, RegionId
from services.contracts.needles import NeedleFound, ShortlistPublished
from services.domain.erasure import erased_name, without
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.runtime.step import Outbox

_ATTEMPTS = 5


class NeedleTraces:
    """The needles on frames, and the candidates on frames that other needles' shortlists have.

    A shortlist that is stored when the process ends, and not published, is published by the next
    retriever, as it does with its own.
    """

    name = "needles, and shortlists with the frame"

    def __init__(self, needles: NeedleStore, outbox: Outbox) -> None:
        self._needles = needles
        self._outbox = outbox

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        return len(await self._needles.naming(frame_ids))

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        await self._strip(set(frame_ids))
        listing = [
            item for item in await self._needles.naming(frame_ids) if _is_on(item, frame_ids)
        ]
        # Published first: once the needle is deleted, nobody knows that it had a shortlist.
        await self._outbox.publish(
            [shortlist for item in listing for shortlist in _withdrawal(item)]
        )
        await self._needles.delete(frame_ids)

    async def _strip(self, frame_ids: set[FrameId]) -> None:
        """Publish the shortlists of other frames' needles without candidates on these frames."""
        for _ in range(_ATTEMPTS):
            stripped = [
                shortlist
                for item in await self._needles.naming(frame_ids)
                if not _is_on(item, frame_ids)
                for shortlist in _stripped(item, frame_ids)
            ]
            if not stripped:
                return
            await self._needles.write_shortlists(stripped)
            await self._outbox.publish(stripped)
            await self._needles.mark_published(stripped)
        raise StoreUnavailable("a retriever writes the shortlists of erased frames meanwhile")


def _is_on(record: NeedleRecord, frame_ids: Collection[FrameId]) -> bool:
    return record.needle is None or record.needle.frame_id in frame_ids


def _stripped(record: NeedleRecord, frame_ids: set[FrameId]) -> list[ShortlistPublished]:
    left = record.shortlist and without(record.shortlist, frame_ids)
    if not isinstance(left, ShortlistPublished):
        return []
    return [left.model_copy(update={"revision": left.revision + 1})]


def _withdrawal(record: NeedleRecord) -> list[ShortlistPublished]:
    """The empty shortlist that withdraws a needle's, if it has one, without data of the frame.

    Its revision is the one after the stored revision, so that a repeat yields the same event.
    """
    if record.shortlist is None:
        return []
    changes = {
        "revision": record.shortlist.revision + 1,
        "needle": redacted(record.shortlist.needle),
        "candidates": (),
    }
    return [record.shortlist.model_copy(update=changes)]


def redacted(needle: NeedleFound) -> NeedleFound:
    """The needle without anything that is known from its frame."""
    return needle.model_copy(
        update={
            "frame_id": erased_name(needle.frame_id),
            "region_id": RegionId(needle.needle_id),
            "score": 0.0,
            "bbox": (0.0, 0.0, 1.0, 1.0),
            "annotation_id": None,
            "mask": None,
            "drive_id": None,
            "captured_at": FIRST_TIME,
        }
    )

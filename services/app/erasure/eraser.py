"""Erases frames: notes it, erases every trace in reach, and asks the services for the others."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.contracts.erasures import FrameErased
from services.contracts.identity import FrameId
from services.domain.chunks import chunks
from services.domain.ports.audit import AuditAct, AuditLog, AuditRecord
from services.domain.ports.erasure import (
    RETENTION,
    CountedTraces,
    ErasureRequest,
    FrameTraces,
    OutsideCopies,
    OutsideCopy,
    Tombstone,
    TombstoneStore,
)
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.step import Outbox

log = structlog.get_logger(__name__)

_AT_ONCE = 200
INTERRUPTED: Final = timedelta(minutes=10)
"""From when on a request counts as interrupted; before, whoever made it may still be at work."""


@dataclass(frozen=True)
class Outcome:
    """What an erasure erases, by kind, and the copies that are for people to delete."""

    counts: Mapping[str, int]
    copies: Sequence[OutsideCopy]


@dataclass(frozen=True)
class Outside:
    """Copies that an erasure cannot delete, and the audit log, which names them for good."""

    places: Sequence[OutsideCopies]
    audit: AuditLog
    clock: Clock
    _noted: set[tuple[str, OutsideCopy]] = field(default_factory=set)

    async def of(self, frame_ids: Collection[FrameId]) -> list[OutsideCopy]:
        """The copies of these frames.

        Raises
        ------
        Transient
            A part of Gazeloop itself does not answer.
        """
        return [copy for place in self.places for copy in await place.of(frame_ids)]

    async def note(self, found: Sequence[Tombstone]) -> list[OutsideCopy]:
        """Find and record the copies of frames that people had erased.

        Before the traces are gone by which copies are found: a killed erasure repeats the record.
        """
        frames_by_person: defaultdict[str, list[FrameId]] = defaultdict(list)
        for tombstone in found:
            if tombstone.requested_by != RETENTION:
                frames_by_person[tombstone.requested_by].append(tombstone.frame_id)
        copies: list[OutsideCopy] = []
        for person, frame_ids in frames_by_person.items():
            of_person = await self.of(frame_ids)
            await self._record(person, of_person)
            copies += of_person
        return copies

    async def _record(self, person: str, copies: Sequence[OutsideCopy]) -> None:
        for copy in dict.fromkeys(copies):
            if (person, copy) in self._noted:
                continue
            self._noted.add((person, copy))
            details = {"what": ", ".join(copy.ids), "remedy": copy.remedy}
            record = AuditRecord(self.clock.now(), AuditAct.COPY_LEFT, person, copy.where, details)
            await self.audit.append(record)


@dataclass(frozen=True)
class FrameEraser:
    """Erases frames; whatever interrupts it, the next `sweep` finishes.

    A tombstone is stored before anything is deleted: from then on no service takes an event of the
    frame. It has the frame's id until the last trace is gone, so nothing else need be remembered.

    Parameters
    ----------
    traces : where frames leave traces; the last ones are those that name the others
    of_services : traces that running services erase, which are only counted here
    services : the services that run, and that are to confirm
    """

    tombstones: TombstoneStore
    traces: Sequence[FrameTraces]
    outbox: Outbox
    outside: Outside
    of_services: Sequence[CountedTraces] = ()
    services: tuple[str, ...] = ()

    async def preview(self, frame_ids: Collection[FrameId]) -> Outcome:
        """How many records of each kind would be erased, and what would stay.

        Raises
        ------
        Transient
            A store or the broker does not answer.
        """
        copies = [copy for batch in _batches(frame_ids) for copy in await self.outside.of(batch)]
        return Outcome(await self._counts(frame_ids), merged(copies))

    async def erase(self, frame_ids: Collection[FrameId], request: ErasureRequest) -> Outcome:
        """Erase these frames; the outcome names copies of interrupted erasures' frames too.

        Raises
        ------
        Transient
            A store or the broker does not answer; `sweep` continues later.
        """
        counts = await self._counts(frame_ids)
        for batch in _batches(frame_ids):
            await self.tombstones.add(batch, request)
        return Outcome(counts, await self.sweep())

    async def sweep(self) -> Sequence[OutsideCopy]:
        """Erase what interrupted calls have left; returns what stays outside."""
        copies: list[OutsideCopy] = []
        while found := await self.tombstones.unswept(_AT_ONCE):
            copies += await self._sweep(found)
        return merged(copies)

    async def finish(self, before: datetime, most: int) -> int:
        """Erase some of what was requested before a time and interrupted; returns their number.

        Raises
        ------
        Transient
            A store or the broker does not answer; the next call continues.
        """
        found = await self.tombstones.unswept(most, before)
        for batch in chunks(found, _AT_ONCE):
            await self._sweep(batch)
        return len(found)

    async def _counts(self, frame_ids: Collection[FrameId]) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for batch in _batches(frame_ids):
            for traces in (*self.traces, *self.of_services):
                counts[traces.name] += await traces.count(batch)
        return counts

    async def _sweep(self, found: Sequence[Tombstone]) -> Sequence[OutsideCopy]:
        frame_ids = [tombstone.frame_id for tombstone in found]
        if self.services:
            # None may have run when this was requested, so that nobody would have the ids any more.
            await self.tombstones.await_services(frame_ids, self.services)
        copies = await self.outside.note(found)
        for traces in self.traces:
            await traces.erase(frame_ids)
        await self.outbox.publish(
            [
                FrameErased.of(item.frame_id, reason=item.reason, requested_by=item.requested_by)
                for item in found
            ]
        )
        await self.tombstones.note_swept(frame_ids)
        metrics.FRAMES_ERASED.inc(len(found))
        log.info("frames_erased", frames=len(found))
        return copies


def merged(copies: Iterable[OutsideCopy]) -> Sequence[OutsideCopy]:
    """The copies with the same place and remedy as one."""
    ids: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for copy in copies:
        ids[copy.where, copy.remedy].update(dict.fromkeys(copy.ids))
    return [OutsideCopy(where, tuple(named), remedy) for (where, remedy), named in ids.items()]


def _batches(frame_ids: Collection[FrameId]) -> Iterator[Sequence[FrameId]]:
    return chunks(list(frame_ids), _AT_ONCE)

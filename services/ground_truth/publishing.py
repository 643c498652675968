"""Publishes events that get their revision from the ledger: assign, publish, confirm."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import structlog

from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated, FrameCaptured
from services.contracts.identity import EventId, FrameId
from services.contracts.topics import topic_of
from services.domain.ports.ledger import Entry, RevisionLedger
from services.domain.revision_conflicts import revision_of
from services.ground_truth.drafts import (
    Draft,
    Revised,
    entry_of,
    next_entry,
    owner_entry,
    tagged,
)
from services.runtime.observability import metrics
from services.runtime.step import Outbox

log = structlog.get_logger(__name__)


class Journal(Protocol):
    """Notes what an import publishes."""

    async def note(self, events: Sequence[Draft]) -> None:
        """Note events with their revisions, durably; repeats change nothing.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def undone(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, str]:
        """For frames of which an import was undone, a tag for what is published of them again."""
        ...


@dataclass(frozen=True)
class Submission:
    """A draft to publish.

    Attributes
    ----------
    tag : distinguishes the draft from an equal one that was submitted earlier
    """

    draft: Draft
    tag: str = ""

    @property
    def entry(self) -> Entry:
        """The ledger entry that identifies the content."""
        return tagged(entry_of(self.draft), self.tag)


@dataclass(frozen=True)
class Accepted:
    """An event that the broker has acknowledged."""

    frame_id: FrameId
    event_id: EventId
    revision: int

    @classmethod
    def of(cls, event: Draft) -> Self:
        """The event under the revision that it was published as."""
        return cls(event.frame_id, event.event_id, revision_of(event))


@dataclass(frozen=True)
class RevisionPublisher:
    """Publishes drafts as revisions: assigns them, publishes, and confirms, always in this order.

    The revision is durable before its event is sent, so a replay after a crash sends the same
    event. An entry is confirmed only after the broker has acknowledged the event, so no content
    counts as published that the broker never got. Frames, which have one revision, and dead
    letters, which have none, take the same three steps.

    Parameters
    ----------
    way : how the events arrive, for the metrics
    journal : notes what is published, before it is, so that it can be undone; None notes nothing
    """

    ledger: RevisionLedger
    outbox: Outbox
    way: str
    journal: Journal | None = None

    async def conflicting(self, frames: Sequence[FrameCaptured]) -> list[FrameCaptured]:
        """Reserve the ids of the frames; returns the frames whose id is taken.

        An id is taken if it is known with another image, time, position or vehicle.

        Raises
        ------
        StoreUnavailable
            The ledger does not answer.
        """
        claims = [owner_entry(frame.frame_id, frame.vehicle_id) for frame in frames]
        revisions = await self.ledger.assign([*map(entry_of, frames), *claims])
        contents, owners = revisions[: len(frames)], revisions[len(frames) :]
        return [
            frame
            for frame, content, owner in zip(frames, contents, owners, strict=True)
            if not content == owner == 1
        ]

    async def publish(
        self, submissions: Sequence[Submission], dead: Sequence[DeadLettered] = ()
    ) -> list[Accepted]:
        """Publish each draft as its subject's latest revision, once it is acknowledged.

        A repeated call sends the same events again, but no dead letter that was acknowledged.

        Raises
        ------
        InvalidRecord
            `duplicate_id`: a frame is known with another image; nothing is sent.
        Transient
            A store or the broker is down.
        """
        dead = await self._unsent(dead)
        entries = [submission.entry for submission in submissions] + [*map(entry_of, dead)]
        if not entries:
            return []
        revisions = (await self.ledger.assign(entries))[: len(submissions)]
        events = [
            _revised(submission.draft, revision)
            for submission, revision in zip(submissions, revisions, strict=True)
        ]
        await self._send(events, dead, entries)
        return [Accepted.of(event) for event in events]

    async def publish_unless_newer(self, submission: Submission, after: int) -> Accepted | None:
        """Publish as revision `after + 1`, or as the one that it has; None if that is taken.

        Raises
        ------
        Transient
            A store or the broker is down.
        """
        entry = submission.entry
        revision = await self.ledger.assign_unless_newer(entry, after)
        if revision is None:
            return None
        event = _revised(submission.draft, revision)
        await self._send([event], [], [entry])
        return Accepted.of(event)

    async def publish_next(
        self, draft: FrameAnnotated, after: int, tag: str = ""
    ) -> Accepted | None:
        """Publish as revision `after + 1`; None if another content has that revision.

        Parameters
        ----------
        tag : identifies this change, because the same one may be made again later

        Raises
        ------
        Transient
            A store or the broker is down.
        """
        accepted = (await self.publish_all_next([(draft, after)], tag))[0]
        if accepted is not None:
            log.info("correction_published", frame_id=accepted.frame_id, revision=accepted.revision)
        return accepted

    async def publish_all_next(
        self, changes: Sequence[tuple[Revised, int]], tag: str = ""
    ) -> list[Accepted | None]:
        """Do what `publish_next` does for several drafts and their `after`, all at once.

        Raises
        ------
        Transient
            A store or the broker is down.
        """
        entries = [next_entry(draft, after, tag) for draft, after in changes]
        befores = [after for _, after in changes]
        assigned = await asyncio.gather(*map(self.ledger.assign_next, entries, befores))
        taken = [entry for entry, is_taken in zip(entries, assigned, strict=True) if is_taken]
        events = [
            _revised(draft, after + 1)
            for is_taken, (draft, after) in zip(assigned, changes, strict=True)
            if is_taken
        ]
        await self._send(events, [], taken)
        accepted = map(Accepted.of, events)
        return [next(accepted) if is_taken else None for is_taken in assigned]

    async def _unsent(self, dead: Sequence[DeadLettered]) -> list[DeadLettered]:
        known = await self.ledger.published([*map(entry_of, dead)]) if dead else set()
        return [letter for letter in dead if entry_of(letter) not in known]

    async def _send(
        self, events: Sequence[Draft], dead: Sequence[DeadLettered], entries: Sequence[Entry]
    ) -> None:
        """Note, publish and confirm what has its revision."""
        if self.journal is not None:
            await self.journal.note(events)
        await self.outbox.publish([*events, *dead])
        await self.ledger.confirm(entries)
        for event in events:
            metrics.FRAMES_INGESTED.labels(topic_of(event).name, self.way).inc()
            log.debug("record_accepted", event_id=event.event_id, frame_id=event.frame_id)


def frame_conflict(frame: FrameCaptured) -> InvalidRecord:
    """The error for a frame whose id is taken."""
    detail = f"frame {frame.frame_id} is known with another image, time or position"
    return InvalidRecord(detail, reason="duplicate_id")


def _revised(draft: Draft, revision: int) -> Draft:
    if not isinstance(draft, FrameCaptured):
        return draft.model_copy(update={"revision": revision})
    if revision != 1:
        raise frame_conflict(draft)
    return draft

"""Events without a revision, and their ledger entries; the ledger assigns revisions by content."""

import hashlib
from collections.abc import Sequence

from services.contracts.codec import encode
from services.contracts.dead_letters import DeadLettered
from services.contracts.events import Event, FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.identity import FrameId, VehicleId
from services.contracts.topics import topic_of
from services.domain.ports.ledger import Entry, RevisionLedger
from services.domain.revision_conflicts import content_of
from services.runtime.kafka.limits import largest_value

Draft = FrameCaptured | PredictionsMade | FrameAnnotated
"""An event whose revision is not assigned yet; it has revision 1 until then."""
Revised = PredictionsMade | FrameAnnotated
"""A part of a frame that has revisions."""


def frame_subject(frame_id: FrameId) -> str:
    """The ledger's subject for a frame; ids contain no blanks, so subjects are unambiguous."""
    return f"frame {frame_id}"


def truth_subject(frame_id: FrameId) -> str:
    """The ledger's subject for a frame's ground truth."""
    return f"ground_truth {frame_id}"


def owner_entry(frame_id: FrameId, vehicle_id: VehicleId) -> Entry:
    """A vehicle's claim to a frame id: the first vehicle gets revision 1, others a higher one."""
    return Entry(f"owner {frame_id}", vehicle_id)


def entry_of(draft: Draft | DeadLettered) -> Entry:
    """The ledger entry of an event."""
    match draft:
        case FrameCaptured():
            return Entry(frame_subject(draft.frame_id), content_of(draft))
        case PredictionsMade():
            subject = f"predictions {draft.frame_id} {draft.detector_id}"
            return Entry(subject, content_of(draft))
        case FrameAnnotated():
            return Entry(truth_subject(draft.frame_id), content_of(draft))
        case DeadLettered():
            return Entry(f"dead_letter {draft.event_id}", "1")


def tagged(entry: Entry, tag: str) -> Entry:
    """The entry with the tag mixed into its digest, so that equal content gets a new revision.

    Without a tag, the entry itself.
    """
    if not tag:
        return entry
    return entry._replace(digest=hashlib.sha256(f"{entry.digest} {tag}".encode()).hexdigest())


def next_entry(draft: Revised, after: int, tag: str = "") -> Entry:
    """The ledger entry of a change that was made to revision `after`.

    The revision is part of the digest: undoing a correction repeats the content of an earlier
    revision, and must still become a new one.

    Parameters
    ----------
    tag : identifies this change, because the same one may be made again later
    """
    return tagged(entry_of(draft), f"{tag} after {after}" if tag else f"after {after}")


async def tags_of(way: str, entries: Sequence[Entry], ledger: RevisionLedger) -> list[str]:
    """Tags that distinguish these corrections from equal earlier ones; mostly empty.

    A correction that changes the ground truth back to an earlier content gets its own revision. A
    correction that repeats the previous one does not.

    Parameters
    ----------
    way : how the corrections arrive; repeats are counted per way

    Raises
    ------
    StoreUnavailable
        The ledger does not answer.
    """
    return [f"{way} {count}" if count else "" for count in await ledger.returns(way, entries)]


def is_too_large(event: Event) -> bool:
    """Whether the event exceeds the size limit of its topic."""
    return len(encode(event)) > largest_value(topic_of(event).name)

"""Events before they have their revision: the ledger gives it by what they say."""

import hashlib
from collections.abc import Sequence

from services.contracts.codec import encode
from services.contracts.dead_letters import DeadLettered
from services.contracts.events import Event, FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.identity import FrameId, VehicleId
from services.contracts.topics import topic_of
from services.domain.ports.frames import content_of
from services.domain.ports.ledger import Entry, RevisionLedger
from services.runtime.kafka.limits import largest_value

Draft = FrameCaptured | PredictionsMade | FrameAnnotated
"""An event at revision 1, which stands for "not numbered yet"."""


def frame_subject(frame_id: FrameId) -> str:
    """The ledger's name of a frame; ids hold no blanks, so names never meet."""
    return f"frame {frame_id}"


def owner_entry(frame_id: FrameId, vehicle_id: VehicleId) -> Entry:
    """A vehicle's claim to a frame: who comes first has revision 1, all others a higher one."""
    return Entry(f"owner {frame_id}", vehicle_id)


def entry_of(draft: Draft | DeadLettered) -> Entry:
    """What the ledger knows an event by."""
    match draft:
        case FrameCaptured():
            return Entry(frame_subject(draft.frame_id), content_of(draft))
        case PredictionsMade():
            subject = f"predictions {draft.frame_id} {draft.detector_id}"
            return Entry(subject, content_of(draft))
        case FrameAnnotated():
            return Entry(f"ground_truth {draft.frame_id}", content_of(draft))
        case DeadLettered():
            return Entry(f"dead_letter {draft.event_id}", "1")


def tagged(entry: Entry, tag: str) -> Entry:
    """The same content on an occasion of its own; without a tag, as it is."""
    if not tag:
        return entry
    return entry._replace(digest=hashlib.sha256(f"{entry.digest} {tag}".encode()).hexdigest())


async def tags_of(way: str, entries: Sequence[Entry], ledger: RevisionLedger) -> list[str]:
    """What tells these corrections from the same ones that came this way before; often nothing.

    Whoever changes something back says what they said before, and means it: it gets a revision of
    its own. Whoever says the same twice in a row says it once.

    Raises
    ------
    StoreUnavailable
        The ledger does not answer.
    """
    return [f"{way} {count}" if count else "" for count in await ledger.returns(way, entries)]


async def numbered(
    drafts: Sequence[Draft], entries: Sequence[Entry], ledger: RevisionLedger
) -> tuple[list[Draft], list[FrameCaptured]]:
    """The events with their revisions, and the frames that are known as something else.

    A frame is that when its id has another picture, time, place or vehicle already.

    Parameters
    ----------
    entries : what the ledger knows each draft by
    """
    events: list[Draft] = []
    conflicts: list[FrameCaptured] = []
    frames = [draft for draft in drafts if isinstance(draft, FrameCaptured)]
    claims = [owner_entry(frame.frame_id, frame.vehicle_id) for frame in frames]
    places = await ledger.assign([*entries, *claims])
    owned = dict(zip(map(id, frames), places[len(drafts) :], strict=True))
    for draft, revision in zip(drafts, places, strict=False):
        if not isinstance(draft, FrameCaptured):
            events.append(draft.model_copy(update={"revision": revision}))
        elif revision == owned[id(draft)] == 1:
            events.append(draft)
        else:
            conflicts.append(draft)
    return events, conflicts


def is_too_large(event: Event) -> bool:
    """Whether no broker would take it."""
    return len(encode(event)) > largest_value(topic_of(event).name)

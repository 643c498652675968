"""When two facts about a frame contradict each other: one revision, two contents."""

import hashlib

from services.contracts import version_1
from services.contracts.errors import ConflictingRevision
from services.contracts.events import FrameCaptured
from services.domain.ports.frames import FrameFact


def refuse_conflict(
    fact: FrameFact, content: str, stored_revision: int, stored_content: str
) -> None:
    """Check a fact against what is stored of the same part of its frame.

    Another revision never contradicts it: the highest one counts.

    Parameters
    ----------
    content, stored_content : as from `content_of`

    Raises
    ------
    ConflictingRevision
        The same revision is stored with another content.
    """
    if stored_revision == revision_of(fact) and stored_content != content:
        raise ConflictingRevision(
            f"frame {fact.frame_id}: this revision is known with another content; "
            "publish the change with a higher revision"
        )


def revision_of(fact: FrameFact) -> int:
    """The fact's revision; a frame is captured once."""
    return 1 if isinstance(fact, FrameCaptured) else fact.revision


def content_of(fact: FrameFact) -> str:
    """Digest of a fact's content, without the image's URI, which may change."""
    # A fact that version 1 can state keeps the digest that it had before version 2.
    old = version_1.is_expressible(fact)
    exclude = {"event_id": True, **(version_1.ADDED.get(type(fact), {}) if old else {})}
    if isinstance(fact, FrameCaptured):
        exclude["image"] = {"uri"}
    else:
        # The annotator's lead time is not part of the content.
        exclude["lead_time_s"] = True
        if getattr(fact, "complete", True):
            # Keeps the digests of facts published before the field existed.
            exclude["complete"] = True
        if not fact.withdrawn:
            exclude["withdrawn"] = True
    content = fact.model_dump_json(exclude=exclude)
    if old:
        content = content.replace('"schema_version":2', '"schema_version":1', 1)
    return hashlib.sha256(content.encode()).hexdigest()

"""Which content of a subject came first, second, third: revisions that a repeat cannot change."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """One content of one subject: a frame's ground truth, or its predictions of one detector."""

    subject: str
    digest: str


class RevisionLedger(Protocol):
    """Revisions by content, and what the broker has acknowledged. Atomic for each subject.

    A known content keeps its revision for ever, so importing an old file again after a correction
    says nothing new; `returns` tells who means it as a change back. Acknowledgements count for
    one broker: another one knows nothing of them.
    """

    async def assign(self, entries: Sequence[Entry]) -> list[int]:
        """The revision of each entry: its own where it is known, else the subject's next, from 1.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def first(self, subjects: Collection[str]) -> dict[str, str]:
        """The digest at revision 1 of each subject that has one; assigns nothing."""
        ...

    async def assign_next(self, entry: Entry, after: int) -> bool:
        """Make the entry the subject's revision `after + 1`; False where another content is.

        For a change that was made looking at revision `after`. Asking again says the same.
        """
        ...

    async def returns(self, way: str, entries: Sequence[Entry]) -> list[int]:
        """Note that a way says these now; how often it has come back to each, 0 the first time.

        Coming back is to say a content again after another one of the same subject. Saying it
        twice in a row is the same saying, whatever other ways have said in between.
        """
        ...

    async def confirm(self, entries: Collection[Entry]) -> None:
        """Remember that the broker has acknowledged these; they have been assigned before."""
        ...

    async def published(self, entries: Collection[Entry]) -> set[Entry]:
        """Those of the entries that the broker has acknowledged."""
        ...

    async def known(self, subjects: Collection[str]) -> set[str]:
        """Those of the subjects of which any broker has ever acknowledged something."""
        ...

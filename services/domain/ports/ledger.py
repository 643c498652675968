"""The revision ledger's protocol: assigns revisions to contents, which repeats do not change."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """One content of one subject: a frame's ground truth, or its predictions of one detector."""

    subject: str
    digest: str


class RevisionLedger(Protocol):
    """Revisions by content, and what the broker has acknowledged. Atomic for each subject.

    A known content keeps its revision, so importing an old file again after a correction changes
    nothing; `returns` detects intended changes back. Acknowledgements count for one broker only.
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
        """Make the entry the subject's revision `after + 1`; False if another content has it.

        For a change that was based on revision `after`. Idempotent.
        """
        ...

    async def latest(self, subjects: Collection[str]) -> dict[str, int]:
        """The latest revision of each subject that has one; assigns nothing."""
        ...

    async def assign_unless_newer(self, entry: Entry, after: int) -> int | None:
        """The entry's own revision where it is known, else `after + 1`; None if that is taken.

        For a content that must not replace what came after revision `after`. Idempotent.
        """
        ...

    async def returns(self, way: str, entries: Sequence[Entry]) -> list[int]:
        """Record that a source states these contents now; returns how often it returned to each.

        A source returns to a content when it states it again after another content of the same
        subject; the first statement is 0. Stating it twice in a row does not count, whatever other
        sources state in between.

        Parameters
        ----------
        way : the source
        """
        ...

    async def confirm(self, entries: Collection[Entry]) -> None:
        """Record that the broker acknowledged these entries, which have revisions."""
        ...

    async def published(self, entries: Collection[Entry]) -> set[Entry]:
        """Those of the entries that the broker has acknowledged."""
        ...

    async def known(self, subjects: Collection[str]) -> set[str]:
        """Those of the subjects with an entry that any broker ever acknowledged."""
        ...

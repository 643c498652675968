"""The audit log's protocol: who did what, when, on which data. Records are only ever added."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class AuditAct(StrEnum):
    """What somebody did."""

    ERASED = "erased"
    COPY_LEFT = "copy_left"
    """An erasure found a copy that it cannot delete; a person is to."""
    EXPORTED = "exported"
    BACKED_UP = "backed_up"
    ORIGINAL_SHOWN = "original_shown"
    UNDONE = "undone"
    CATEGORIES = "categories_mapped"
    TOKEN_CREATED = "token_created"  # noqa: S105  # the name of an act
    TOKEN_ROTATED = "token_rotated"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    VERDICT = "verdict"
    """A decision on the review page; it is read from the reviews, which are append-only too."""


@dataclass(frozen=True)
class AuditRecord:
    """One act.

    Attributes
    ----------
    by : the person's name, or the name of their account on the machine
    on : the data, in words; never a frame that was erased
    details : facts about the act, by name
    """

    at: datetime
    act: AuditAct
    by: str
    on: str
    details: Mapping[str, str | int] = field(default_factory=dict)


class AuditLog(Protocol):
    """Acts in the order of their times."""

    async def append(self, record: AuditRecord) -> None:
        """Add a record durably.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    def since(self, at: datetime) -> AsyncIterator[AuditRecord]:
        """The records from this time on, oldest first."""
        ...

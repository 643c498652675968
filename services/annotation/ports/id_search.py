"""The protocol of the search for frames and needles whose ids contain a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from services.contracts.identity import FrameId, NeedleId

GAVE_UP: Final = (
    "The search for ids with {part!r} within them gave up, because there are too many ids: other"
    " ids may contain it. Give the beginning of the id, or all of it."
)

_Id = TypeVar("_Id", FrameId, NeedleId)


@dataclass(frozen=True)
class FoundIds(Generic[_Id]):
    """Ids that contain a text.

    Attributes
    ----------
    is_complete : whether no id is missing, except those beyond the limit; else the search gave up
    """

    ids: Sequence[_Id]
    is_complete: bool


class IdSearch(Protocol):
    """Finds ids by a part of them; ids that begin with it come first."""

    async def frames(self, part: str, limit: int) -> FoundIds[FrameId]:
        """The ids of frames that contain this text.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def needles(self, part: str, limit: int) -> FoundIds[NeedleId]:
        """The ids of active needles that contain this text."""
        ...

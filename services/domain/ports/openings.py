"""The protocol of openings: what annotators have begun to work on."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from services.contracts.identity import FrameId, NeedleId


@dataclass(frozen=True)
class Opened:
    """Shortlists and frames that an annotator has opened: they are not taken away any more.

    Attributes
    ----------
    needles : whose shortlists were opened on the review page
    frames : whose tasks were opened in the annotation tool
    """

    needles: frozenset[NeedleId] = frozenset()
    frames: frozenset[FrameId] = frozenset()


class Openings(Protocol):
    """Reads what was opened; whatever serves annotators writes it."""

    async def among(
        self, needle_ids: Collection[NeedleId], frame_ids: Collection[FrameId]
    ) -> Opened:
        """Those of these that were opened.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

"""The shortlists of one failure mode by family: which needles can take the mode's next frame."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping

from services.contracts.identity import FamilyId, NeedleId, family_id

_Turn = tuple[bool, NeedleId]
"""Order within a family: the needle that leads it comes first, then the others by id."""


class FamilyShortlists:
    """The needles of a mode by family. A shortlist is empty, open with room for more, or full."""

    def __init__(self) -> None:
        self._family_of: dict[NeedleId, FamilyId] = {}
        self._turn_of: dict[NeedleId, _Turn] = {}
        self._empty: defaultdict[FamilyId, list[_Turn]] = defaultdict(list)
        self._open: defaultdict[FamilyId, set[NeedleId]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._family_of)

    def ids(self) -> list[NeedleId]:
        """All needles."""
        return list(self._family_of)

    def families(self) -> Mapping[NeedleId, FamilyId]:
        """The family of each needle."""
        return self._family_of

    def add(self, needle: NeedleId, family: FamilyId) -> None:
        """Add a needle, whose shortlist is empty."""
        self._family_of[needle] = family
        self._turn_of[needle] = family_id(needle) != family, needle
        insort(self._empty[family], self._turn_of[needle])

    def remove(self, needle: NeedleId) -> None:
        """Remove a needle."""
        self._forget(needle)
        del self._family_of[needle], self._turn_of[needle]

    def update(self, needle: NeedleId, frames: int, size: int) -> None:
        """Note how many frames a needle's shortlist has, of at most `size`."""
        self._forget(needle)
        family = self._family_of[needle]
        if not frames:
            insort(self._empty[family], self._turn_of[needle])
        elif frames < size:
            self._open[family].add(needle)

    def any_waiting(self) -> bool:
        """Whether any shortlist has room."""
        return bool(self._open or self._empty)

    def opened(self, family: FamilyId) -> Iterator[set[NeedleId]]:
        """The open shortlists of this family, then those of the others."""
        yield self._open.get(family, set())
        others = (needles for other, needles in self._open.items() if other != family)
        yield set().union(*others)

    def next_empty(self, family: FamilyId) -> NeedleId | None:
        """The needle whose shortlist to open for this family; None if none is empty.

        A family without an empty shortlist borrows one from the family with the lowest id.
        """
        if not self._empty:
            return None
        source = family if family in self._empty else min(self._empty)
        return self._empty[source][0][1]

    def _forget(self, needle: NeedleId) -> None:
        family, turn = self._family_of[needle], self._turn_of[needle]
        empty = self._empty.get(family, [])
        place = bisect_left(empty, turn)
        if place < len(empty) and empty[place] == turn:
            del empty[place]
            if not empty:
                del self._empty[family]
        if family in self._open:
            self._open[family].discard(needle)
            if not self._open[family]:
                del self._open[family]

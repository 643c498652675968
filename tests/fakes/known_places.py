from collections.abc import Sequence

from services.contracts.identity import NeedleId
from services.domain.ports.known_places import KnownPlace


class InMemoryKnownPlaces:
    def __init__(self) -> None:
        self._places: dict[NeedleId, KnownPlace] = {}

    async def all(self) -> Sequence[KnownPlace]:
        return [self._places[needle_id] for needle_id in sorted(self._places)]

    async def of(self, needle_id: NeedleId) -> KnownPlace | None:
        return self._places.get(needle_id)

    async def mark(self, place: KnownPlace) -> None:
        self._places.setdefault(place.needle_id, place)

    async def unmark(self, needle_id: NeedleId) -> None:
        self._places.pop(needle_id, None)

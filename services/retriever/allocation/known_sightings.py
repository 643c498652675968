"""Keeps later sightings at known places off shortlists, until the place is no longer known."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from services.contracts.identity import Category, FrameId
from services.domain.ports.known_places import KnownPlaces
from services.domain.shortlists.known_places import PlaceIndex
from services.domain.shortlists.scored_candidates import Key, ScoredCandidate
from services.retriever.changelog import Changelog, TableSpec


@dataclass(frozen=True)
class Sighting:
    """A candidate of a failure mode."""

    key: tuple[str, ...]
    candidate: ScoredCandidate

    @property
    def category(self) -> Category:
        """The category that is detected there."""
        _, category, *_ = self.key
        return Category(category)


HELD: Final[TableSpec[Key, Sighting]] = TableSpec("known_sightings", tuple[str, ...], Sighting)
"""By region and failure mode."""


class KnownSightings:
    """The candidates of a detector that are held back."""

    def __init__(self, places: KnownPlaces, changelog: Changelog) -> None:
        self._places = places
        self._held = changelog.table(HELD)
        self._index = PlaceIndex({})

    async def refresh(self) -> list[Sighting]:
        """Read the known places; returns what is no longer held back.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        self._index = PlaceIndex.of(await self._places.all())
        freed = [(name, held) for name, held in self._held.items() if not self._is_known(held)]
        for name, _ in freed:
            del self._held[name]
        return [held for _, held in freed]

    def hold(self, new: Iterable[Sighting]) -> set[FrameId]:
        """Hold back those at known places; returns their frames."""
        known = [item for item in new if self._is_known(item)]
        for item in known:
            self._held[item.candidate.region, *item.key] = item
        return {item.candidate.context.frame for item in known}

    def forget(self, key: Key, frames: Collection[FrameId] | None = None) -> None:
        """Drop what is held of a failure mode: on these frames, or all, because it is outdated."""
        outdated = [
            name
            for name, held in self._held.items()
            if held.key == key and (frames is None or held.candidate.context.frame in frames)
        ]
        for name in outdated:
            del self._held[name]

    def _is_known(self, sighting: Sighting) -> bool:
        return self._index.has(sighting.category, sighting.candidate.context.position)

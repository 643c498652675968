from collections import defaultdict
from collections.abc import Collection, Sequence

from services.domain.ports.ledger import Entry


class InMemoryLedger:
    def __init__(self) -> None:
        self._digests: dict[str, list[str]] = defaultdict(list)
        self._submitted: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._published: set[Entry] = set()

    async def assign(self, entries: Sequence[Entry]) -> list[int]:
        return [self._assign(entry) for entry in entries]

    async def first(self, subjects: Collection[str]) -> dict[str, str]:
        return {
            subject: self._digests[subject][0] for subject in subjects if self._digests.get(subject)
        }

    async def assign_next(self, entry: Entry, after: int) -> bool:
        known = self._digests[entry.subject]
        if len(known) <= after:
            known += [*["?"] * (after - len(known)), entry.digest]
        return len(known) > after and known[after] == entry.digest

    async def latest(self, subjects: Collection[str]) -> dict[str, int]:
        return {
            subject: len(self._digests[subject])
            for subject in subjects
            if self._digests.get(subject)
        }

    async def assign_unless_newer(self, entry: Entry, after: int) -> int | None:
        known = self._digests[entry.subject]
        if entry.digest in known:
            return known.index(entry.digest) + 1
        return after + 1 if await self.assign_next(entry, after) else None

    async def returns(self, way: str, entries: Sequence[Entry]) -> list[int]:
        counts = []
        for entry in entries:
            submitted = self._submitted[way, entry.subject]
            if submitted[-1:] != [entry.digest]:
                submitted.append(entry.digest)
            counts.append(submitted.count(entry.digest) - 1)
        return counts

    async def confirm(self, entries: Collection[Entry]) -> None:
        self._published.update(entries)

    async def published(self, entries: Collection[Entry]) -> set[Entry]:
        return self._published.intersection(entries)

    async def known(self, subjects: Collection[str]) -> set[str]:
        return {entry.subject for entry in self._published}.intersection(subjects)

    def _assign(self, entry: Entry) -> int:
        known = self._digests[entry.subject]
        if entry.digest not in known:
            known.append(entry.digest)
        return known.index(entry.digest) + 1

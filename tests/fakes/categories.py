from collections.abc import Collection, Iterable

from services.contracts.identity import Category


class InMemoryCategories:
    """Categories as given, instead of those that occur in the data."""

    def __init__(
        self, matched: Iterable[Category] = (), annotated: Iterable[Category] = ()
    ) -> None:
        self.matched = set(matched)
        self.annotated = set(annotated)

    async def all(self) -> list[Category]:
        return sorted(self.matched)

    async def known(self, names: Collection[Category]) -> set[Category]:
        return (self.matched | self.annotated).intersection(names)

"""Tables whose changes are recorded with each epoch, so that any process can take a detector over.

What a detector's stages know from one epoch to the next lies in tables. With an epoch, the rows
that it changed are recorded; a process that starts reads them and is where the last one was. Kafka
Streams keeps its state stores in this way.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast

import orjson
from pydantic import TypeAdapter

from services.domain.ports.epochs import StateChanges

K = TypeVar("K")
V = TypeVar("V")
Name = tuple[str, ...]

_WHOLE_MIN = 1_000_000
"""Bytes of changes after which all rows may be recorded again; fewer are read at once."""
_LEVEL = 1
"""Of compression: ids repeat, so it takes a fourth of the bytes."""


class Kind(Generic[K, V]):
    """A kind of table: its name, and the types of its keys and values.

    Values must not be changed in place.
    """

    def __init__(self, name: str, key: Any, value: Any) -> None:
        self.name = name
        self.keys: TypeAdapter[list[K]] = TypeAdapter(list[key])
        self.rows: TypeAdapter[list[tuple[K, V]]] = TypeAdapter(list[tuple[key, value]])


class Table(dict[K, V]):
    """A dict that notes which rows have changed."""

    def __init__(self, kind: Kind[K, V]) -> None:
        super().__init__()
        self._kind = kind
        self._is_cleared = False
        self._deleted: dict[K, None] = {}
        self._put: dict[K, None] = {}

    def __setitem__(self, key: K, value: V) -> None:
        self._put[key] = None
        super().__setitem__(key, value)

    def __delitem__(self, key: K) -> None:
        super().__delitem__(key)
        # A row that is put again comes last, as in any dict, also where changes are applied.
        self._put.pop(key, None)
        self._deleted[key] = None

    def pop(self, key: K, *default: Any) -> Any:
        """Remove a row; returns its value, or the default."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all rows."""
        super().clear()
        self._is_cleared = True
        self._deleted.clear()
        self._put.clear()

    def update(self, rows: Mapping[K, V]) -> None:  # type: ignore[override]  # of mappings alone
        """Set these rows."""
        for key, value in rows.items():
            self[key] = value

    def changes(self) -> list[Any] | None:
        """What changed since the last call, as JSON; None if nothing did."""
        deleted, put = list(self._deleted), [(key, self[key]) for key in self._put]
        is_changed = self._is_cleared or deleted or put
        changes = self._encoded(deleted, put, is_cleared=self._is_cleared)
        self._is_cleared = False
        self._deleted.clear()
        self._put.clear()
        return changes if is_changed else None

    def whole(self) -> list[Any] | None:
        """All rows, as changes of an empty table; None if there are none."""
        self.changes()
        return self._encoded([], list(self.items()), is_cleared=True) if self else None

    def apply(self, is_cleared: bool, deleted: list[Any], put: list[Any]) -> None:  # as recorded
        """Repeat changes that were recorded."""
        if is_cleared:
            super().clear()
        for key in self._kind.keys.validate_python(deleted):
            super().pop(key, None)
        for key, value in self._kind.rows.validate_python(put):
            super().__setitem__(key, value)

    def _encoded(self, deleted: list[K], put: list[tuple[K, V]], *, is_cleared: bool) -> list[Any]:
        keys, rows = self._kind.keys.dump_json(deleted), self._kind.rows.dump_json(put)
        return [is_cleared, orjson.Fragment(keys), orjson.Fragment(rows)]


class Changelog:
    """The tables of one detector.

    Parameters
    ----------
    recorded : the changes so far, from the last time that all rows were recorded
    """

    def __init__(self, recorded: Iterable[StateChanges] = ()) -> None:
        self._tables: dict[Name, Table[Any, Any]] = {}
        self._recorded: defaultdict[Name, list[list[Any]]] = defaultdict(list)
        """Of tables that nobody asked for yet."""
        self._whole_bytes: int | None = None
        self._bytes_since = 0
        self.follow(recorded)

    def follow(self, recorded: Iterable[StateChanges]) -> None:
        """Take over changes that another process has recorded, while there are none here."""
        for changes in recorded:
            self._note(changes)
            if changes.is_whole:
                self._recorded.clear()
                for table in self._tables.values():
                    table.apply(is_cleared=True, deleted=[], put=[])
            for name, *of_table in orjson.loads(zlib.decompress(changes.content)):
                if (found := self._tables.get(tuple(name))) is not None:
                    found.apply(*of_table)
                else:
                    self._recorded[tuple(name)].append(of_table)

    def table(self, kind: Kind[K, V], *of: str) -> Table[K, V]:
        """The table of this kind, and of this part of the detector's categories."""
        name = (kind.name, *of)
        if name not in self._tables:
            table = self._tables[name] = Table(kind)
            for of_table in self._recorded.pop(name, ()):
                table.apply(*of_table)
        return cast("Table[K, V]", self._tables[name])

    def next(self) -> StateChanges:
        """What changed since the last call; all rows once the changes would take longer to read."""
        least = None if self._whole_bytes is None else max(self._whole_bytes, _WHOLE_MIN)
        is_whole = least is None or self._bytes_since > least
        content = self._encoded(Table.whole if is_whole else Table.changes)
        changes = StateChanges(content, is_whole=is_whole)
        self._note(changes)
        return changes

    def _note(self, changes: StateChanges) -> None:
        if changes.is_whole:
            self._whole_bytes, self._bytes_since = len(changes.content), 0
        else:
            self._bytes_since += len(changes.content)

    def _encoded(self, part: Callable[[Table[Any, Any]], list[Any] | None]) -> bytes:
        found = {name: part(table) for name, table in self._tables.items()}
        rows = [[name, *of_table] for name, of_table in found.items() if of_table is not None]
        return zlib.compress(orjson.dumps(rows), _LEVEL)

"""Tables whose changes are recorded with each epoch, so that any process can take a detector over.

The state of a detector's stages is in tables. Each epoch records the rows that it changed. A
process that starts reads them, and continues where the last one ended. Kafka Streams keeps its
state stores in this way.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

import orjson
from pydantic import TypeAdapter

from services.domain.ports.epochs import StateChanges

K = TypeVar("K")
V = TypeVar("V")
Name = tuple[str, ...]

_MIN_WHOLE_BYTES = 1_000_000
"""Bytes of changes after which all rows may be recorded again; fewer are read at once."""
_FORMAT = b"2"
"""Raise it where a table changes, so that what was recorded in another form is not read."""
_LEVEL = 1
"""Of compression: ids repeat, so it takes a fourth of the bytes."""


class TableSpec(Generic[K, V]):
    """What a table is: its name, and the types of its keys and values.

    Values must not be changed in place, and are what orjson and pydantic know: texts, numbers,
    tuples, sets, dataclasses without cached properties.
    """

    def __init__(self, name: str, key: Any, value: Any) -> None:
        self.name = name
        self.keys: TypeAdapter[list[K]] = TypeAdapter(list[key])
        self.rows: TypeAdapter[list[tuple[K, V]]] = TypeAdapter(list[tuple[key, value]])


class _Rows(NamedTuple):
    """Changes of one table: whether all its rows go first, then the keys that go, and new rows."""

    is_cleared: bool
    deleted: bytes
    put: bytes


_NO_ROWS = _Rows(is_cleared=True, deleted=b"[]", put=b"[]")
Before = dict[Name, dict[Any, Any]]
"""By table and row, what was there before changes; None where nothing was."""


class Table(dict[K, V]):
    """A dict that notes which rows have changed."""

    def __init__(self, spec: TableSpec[K, V]) -> None:
        super().__init__()
        self._spec = spec
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

    def changes(self) -> _Rows | None:
        """What changed since the last call; None if nothing did."""
        deleted, put = list(self._deleted), [(key, self[key]) for key in self._put]
        is_changed = self._is_cleared or deleted or put
        changes = _Rows(self._is_cleared, _encoded(deleted), _encoded(put))
        self._is_cleared = False
        self._deleted.clear()
        self._put.clear()
        return changes if is_changed else None

    def whole(self) -> _Rows | None:
        """All rows, as changes of an empty table; None if there are none."""
        self.changes()
        return _Rows(True, _encoded([]), _encoded(list(self.items()))) if self else None

    def apply(self, changes: _Rows) -> dict[K, V | None]:
        """Repeat changes that were recorded; returns what was before them in each row."""
        before: dict[K, V | None] = {}
        if changes.is_cleared:
            before.update(self)
            super().clear()
        for key in self._spec.keys.validate_json(changes.deleted):
            before.setdefault(key, super().pop(key, None))
        for key, value in self._spec.rows.validate_json(changes.put):
            before.setdefault(key, self.get(key))
            super().__setitem__(key, value)
        return before


class Changelog:
    """The tables of one detector.

    Parameters
    ----------
    recorded : the changes so far, from the last time that all rows were recorded
    """

    def __init__(self, recorded: Iterable[StateChanges] = ()) -> None:
        self._tables: dict[Name, Table[Any, Any]] = {}
        self._recorded: defaultdict[Name, list[_Rows]] = defaultdict(list)
        """Of tables that were not requested yet."""
        self._whole_bytes: int | None = None
        self._bytes_since = 0
        self.follow(recorded)

    def follow(self, recorded: Iterable[StateChanges]) -> Before:
        """Take over changes that another process has recorded, while there are none here.

        Those of a version that has another format leave all tables empty.
        """
        before: Before = defaultdict(dict)
        for changes in recorded:
            self._note(changes)
            decoded = _decoded(changes.content)
            if changes.is_whole or decoded is None:
                self._recorded.clear()
                for name, table in self._tables.items():
                    before[name] = table.apply(_NO_ROWS) | before[name]
            for name, rows in decoded or ():
                if (found := self._tables.get(name)) is not None:
                    before[name] = found.apply(rows) | before[name]
                else:
                    self._recorded[name].append(rows)
        return before

    def table(self, spec: TableSpec[K, V], *of: str) -> Table[K, V]:
        """The table of this specification, and of this part of the detector's categories."""
        name = (spec.name, *of)
        if name not in self._tables:
            table = self._tables[name] = Table(spec)
            for rows in self._recorded.pop(name, ()):
                table.apply(rows)
        return cast("Table[K, V]", self._tables[name])

    def next(self) -> StateChanges:
        """What changed since the last call; all rows once the changes would take longer to read."""
        least = None if self._whole_bytes is None else max(self._whole_bytes, _MIN_WHOLE_BYTES)
        is_whole = least is None or self._bytes_since > least
        content = self._content(Table.whole if is_whole else Table.changes)
        changes = StateChanges(content, is_whole=is_whole)
        self._note(changes)
        return changes

    def _note(self, changes: StateChanges) -> None:
        if changes.is_whole:
            self._whole_bytes, self._bytes_since = len(changes.content), 0
        else:
            self._bytes_since += len(changes.content)

    def _content(self, part: Callable[[Table[Any, Any]], _Rows | None]) -> bytes:
        lines = [_FORMAT]
        for name, table in self._tables.items():
            if (rows := part(table)) is not None:
                lines += (_encoded([name, rows.is_cleared]), rows.deleted, rows.put)
        return zlib.compress(b"\n".join(lines), _LEVEL)


def _encoded(rows: list[Any]) -> bytes:
    # orjson encodes dataclasses in a tenth of pydantic's time; sets and named tuples become lists.
    return orjson.dumps(rows, default=list)


def _decoded(content: bytes) -> list[tuple[Name, _Rows]] | None:
    """The tables of an entry; None if it is of another format.

    Rows stay JSON until somebody asks for their table.
    """
    found, *lines = zlib.decompress(content).splitlines()
    if found != _FORMAT:
        return None
    tables = []
    for head, deleted, put in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name, is_cleared = orjson.loads(head)
        tables.append((tuple(name), _Rows(is_cleared, deleted, put)))
    return tables

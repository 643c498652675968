"""Tables of rows, as CSV or Parquet files."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from services.contracts.errors import MissingPart
from services.formats.csv_cells import cell_of
from services.runtime.durability import sync

Row = Mapping[str, object]
"""Values by column; None where there is none."""
ColumnType = type[str | int | float | bool | datetime]


class TableFormat(StrEnum):
    """The formats of tables."""

    CSV = "csv"
    PARQUET = "parquet"


class Table(NamedTuple):
    """A table's name, and the types of its columns by name."""

    name: str
    columns: Mapping[str, ColumnType]


class TableWriter(Protocol):
    """Writes the rows of one table in their order; blocks."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        ...


def table_writer(
    table: Table, form: TableFormat, folder: Path
) -> AbstractContextManager[TableWriter]:
    """A new file in the folder for this table; complete and on disk when the context ends.

    Raises
    ------
    MissingPart
        Parquet needs a package that is not installed.
    """
    path = folder / f"{table.name}.{form.value}"
    return ParquetTable(table, path) if form is TableFormat.PARQUET else CsvTable(table, path)


class CsvTable(AbstractContextManager["CsvTable"]):
    """UTF-8 with a header; times as ISO 8601, `true` and `false`, nothing where there is no value.

    A text that a spreadsheet would take for a formula gets a leading apostrophe.
    """

    def __init__(self, table: Table, path: Path) -> None:
        self._path = path
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, [*table.columns])
        self._writer.writeheader()

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)

    def __exit__(self, *_: object) -> None:
        self._file.close()
        _to_disk(self._path)


def _to_disk(path: Path) -> None:
    """Have a written file outlast a loss of power: retention erases the frames of an archive."""
    sync(path)
    sync(path.parent)


def _cell(value: object) -> object:
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case _:
            return cell_of(value)


class ParquetTable(AbstractContextManager["ParquetTable"]):
    """Columns by type, times in UTC with microseconds; a row group per call of `write`."""

    def __init__(self, table: Table, path: Path) -> None:
        arrow, parquet = _pyarrow()
        types: dict[ColumnType, Any] = {
            str: arrow.string(),
            int: arrow.int64(),
            float: arrow.float64(),
            bool: arrow.bool_(),
            datetime: arrow.timestamp("us", tz="UTC"),
        }
        self._arrow = arrow
        self._schema = arrow.schema(
            [(name, types[of_column]) for name, of_column in table.columns.items()]
        )
        self._path = path
        self._writer = parquet.ParquetWriter(path, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.write_table(self._arrow.Table.from_pylist([*rows], schema=self._schema))

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        _to_disk(self._path)


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError as exc:
        raise MissingPart(
            "Parquet needs pyarrow: pip install 'gazeloop[parquet]', or write csv"
        ) from exc

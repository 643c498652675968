"""Tables as CSV files."""

import csv
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from io import StringIO

from fastapi.responses import StreamingResponse

from services.formats.csv_cells import cell_of


def csv_file(
    name: str, columns: Sequence[str], rows: AsyncIterable[Sequence[object]]
) -> StreamingResponse:
    """A table as a file to save: a header, then one line per row; None is an empty cell.

    Text that a spreadsheet would compute begins with an apostrophe.
    """
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(
        _lines(columns, rows), media_type="text/csv; charset=utf-8", headers=headers
    )


def csv_table(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> StreamingResponse:
    """Like `csv_file`, of rows that are in memory."""

    async def row_by_row() -> AsyncIterator[Sequence[object]]:
        for row in rows:
            yield row

    return csv_file(name, columns, row_by_row())


async def _lines(
    columns: Sequence[str], rows: AsyncIterable[Sequence[object]]
) -> AsyncIterator[str]:
    yield _line(columns)
    async for row in rows:
        yield _line([cell_of(value) for value in row])


def _line(cells: Sequence[object]) -> str:
    out = StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()

from collections.abc import AsyncIterator

from services.annotation.review.csv_files import csv_file


async def rows() -> AsyncIterator[tuple[object, ...]]:
    yield "=1+1", None, 0.5
    yield 'a "b", c', -1, "-x"


async def test_cells_are_quoted_and_no_text_is_a_formula() -> None:
    answer = csv_file("name", ("x", "y", "z"), rows())

    text = "".join([str(part) async for part in answer.body_iterator])
    assert text == 'x,y,z\r\n\'=1+1,,0.5\r\n"a ""b"", c",-1,\'-x\r\n'
    assert answer.headers["Content-Disposition"] == 'attachment; filename="name.csv"'

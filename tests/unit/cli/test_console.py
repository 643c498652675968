import pytest
from rich.table import Table

from services.cli.console import console


def test_a_row_is_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    for heading in ("needle", "frame"):
        table.add_column(heading, overflow="fold")
    table.add_row("396783b1", "survey:" + "0" * 190)

    console().print(table)

    assert len(capsys.readouterr().out.splitlines()) == 2

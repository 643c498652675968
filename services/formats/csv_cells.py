"""Cells of CSV files that people open in spreadsheets, written and read.

A spreadsheet computes a text that begins like a formula. An apostrophe before it prevents that
(OWASP, CSV injection).
"""

import re
from typing import Final

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
"""How a text begins that gets an apostrophe: like a formula, or like a text that has got one."""


def cell_of(value: object) -> object:
    """What stands in the cell of a value."""
    is_formula = isinstance(value, str) and _FORMULA.match(value)
    return f"'{value}" if is_formula else value


def text_of(cell: str) -> str:
    """The text that `cell_of` wrote, or that another program wrote as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell

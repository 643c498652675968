"""docs/reliability.md has a row for each fault that `make faults` makes."""

import re
from pathlib import Path

from tests.faults.rows import ROWS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_each_fault_has_its_row() -> None:
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [fault.__name__ for fault in ROWS] + ["up_killed", "up_power_lost"]

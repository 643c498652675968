import io

import pytest
from rich.console import Console

from services.cli.memory_warning import warn_of_memory_broker
from services.runtime.settings import load_settings


@pytest.mark.parametrize(
    ("kafka", "warned"), [("memory://127.0.0.1:9092", True), ("127.0.0.1:9092", False)]
)
def test_only_a_broker_in_memory_is_warned_of(kafka: str, warned: bool) -> None:
    out = Console(file=io.StringIO(), width=200)
    warn_of_memory_broker(out, load_settings(kafka=kafka))
    assert isinstance(out.file, io.StringIO)
    assert ("make broker" in out.file.getvalue()) is warned

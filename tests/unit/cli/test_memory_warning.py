import io
from pathlib import Path

import pytest
from rich.console import Console

from services.cli.memory_warning import warn_of_memory_broker
from services.runtime.settings_reading import load_settings


@pytest.mark.parametrize(
    ("kafka", "warned"), [("memory://127.0.0.1:9092", True), ("127.0.0.1:9092", False)]
)
def test_only_a_broker_in_memory_is_warned_of(kafka: str, warned: bool) -> None:
    out = Console(file=io.StringIO(), width=200)
    warn_of_memory_broker(out, load_settings(kafka=kafka))
    assert isinstance(out.file, io.StringIO)
    assert ("broker fetch" in out.file.getvalue()) is warned


def test_the_warning_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    out = Console(file=io.StringIO(), width=400)
    warn_of_memory_broker(out, load_settings(kafka="memory://127.0.0.1:9092"))
    assert isinstance(out.file, io.StringIO)
    assert f"no java, neither in JAVA_HOME ({tmp_path}) nor on the PATH" in out.file.getvalue()

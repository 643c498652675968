"""The examples below every command's help are commands that it takes."""

import re
import shlex
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli import lazy
from services.cli.main import app
from tests.unit.cli.test_command_line import COMMANDS, _command

SHELL = {"|", ">", "&&", ";"}
"""What ends a command on a line of a shell."""
MISSING = re.compile(r"(?i:file|dir|directory|path) '(?P<path>[^']*)' does not\s+exist")


def examples() -> Iterator[str]:
    for words in COMMANDS:
        yield from re.findall(r"`gazeloop ([^`]*)`", _command(words).epilog)


class NoWork:
    """Has every command's function, which does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def only_declared(module: str) -> Any:
    """A command's options, without what it does with them."""
    return NoWork() if module.startswith("services.cli.work.") else import_module(module)


def refusal(line: str) -> str:
    """What a command refuses, once the files and folders that it names are there."""
    words: list[str] = []
    for word in shlex.split(line):
        if word in SHELL:
            break
        words.append(word)
    while True:
        done = CliRunner(env={"COLUMNS": "1000", "TERM": "dumb"}).invoke(app, words)
        missing = MISSING.search(done.stderr)
        if missing is None:
            return done.stderr if done.exit_code else ""
        path = Path(missing["path"])
        assert not path.is_absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.touch()
        else:
            path.mkdir()


def test_every_example_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lazy, "import_module", only_declared)
    found = [*examples()]
    assert len(found) > len(COMMANDS) / 2
    assert {line: text for line in found if (text := refusal(line))} == {}

"""docs/upgrading.md, every command in its order, on the stores that version 0.1.0 wrote."""

import json
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from typer.testing import CliRunner

from services.cli.main import app as command_line
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.stores.migration import OLD_FRAMES, OLD_MATCHES
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.store_version import STORE_VERSION
from tests.integration.runtime.test_migration import WRITTEN, in_common, stored_by_version_1

PAGE = Path(__file__).parents[3] / "docs" / "upgrading.md"
COMMANDS = re.findall(r"^    gazeloop (.+)$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"upgraded-{uuid4().hex[:8]}")
    for name, documents in stored_by_version_1().items():
        if documents:
            await database[name].insert_many(documents)
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


@pytest.fixture
def deployment(
    database: Database,
    mongodb_url: str,
    kafka: BrokerAddress,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[None]:
    """Where the parts of the deployment are, in the environment."""
    given = {
        "GAZELOOP_KAFKA": str(kafka),
        "GAZELOOP_MONGODB": mongodb_url,
        "GAZELOOP_MONGODB_DATABASE": database.name,
        "GAZELOOP_BLOBS": (tmp_path / "blobs").as_uri(),
        "GAZELOOP_DATA": str(tmp_path / "data"),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    yield
    structlog.reset_defaults()


def run(command: str, folder: Path) -> str:
    """What a command of the page prints."""
    words = shlex.split(command.replace("/mnt/backups", str(folder)))
    done = CliRunner().invoke(command_line, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    # The images of these stores are not here, which the doctor finds.
    assert done.exit_code == 0 or words[0] == "doctor", done.output
    return done.output


@pytest.mark.usefixtures("deployment")
def test_every_command_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    printed = {command: run(command, tmp_path / "backups") for command in COMMANDS}
    assert "documents to migrate" in printed["migrate --dry-run"]
    assert f"of version {STORE_VERSION} now" in printed["migrate"]
    assert "migrat" not in printed["doctor --no-model"]
    expected = json.loads((WRITTEN / "report.json").read_text())
    del expected["shortlist"]["intervals"]  # drawn in the order of hashes in that version
    expected["counts"].pop("dead_letters", None)  # of the broker, which is another one
    report = json.loads(printed["report --json"])
    assert in_common(report, expected) == expected
    assert OLD_FRAMES in printed["migrate --drop-old"]
    assert OLD_MATCHES in printed["migrate --drop-old"]

"""Fetching Kafka's jars, by a program in Maven's place: Maven itself needs a network."""

from pathlib import Path

import pytest

from services.contracts.errors import MissingPart
from services.runtime.embedded import kafka_jars
from services.runtime.embedded.kafka_jars import KAFKA_VERSION, fetch_jars, find_jars, jars_folder

COPIES = f"""#!/bin/sh
test -f pom.xml || exit 3
for option in "$@"; do case $option in -DoutputDirectory=*) to=${{option#*=}};; esac; done
mkdir "$to" && echo jar > "$to/kafka_2.13-{KAFKA_VERSION}.jar"
"""
FAILS = """#!/bin/sh
echo "[ERROR] Could not transfer artifact"
exit 1
"""


@pytest.fixture(autouse=True)
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As installed from a wheel, without a checkout around."""
    monkeypatch.setattr(kafka_jars, "_CHECKOUT", tmp_path / "none")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def maven(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_the_jars_come_to_the_users_own_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingPart, match="gazeloop broker fetch"):
        find_jars()
    maven(tmp_path, COPIES, monkeypatch)

    folder = fetch_jars()

    assert folder == find_jars() == tmp_path / "data" / "gazeloop" / f"kafka-{KAFKA_VERSION}"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_jars_of_another_version_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars_folder().mkdir(parents=True)
    (jars_folder() / "kafka_2.13-1.0.jar").write_text("old")
    maven(tmp_path, COPIES, monkeypatch)

    assert [path.name for path in fetch_jars().iterdir()] == [f"kafka_2.13-{KAFKA_VERSION}.jar"]


def test_what_maven_says_is_reported_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven(tmp_path, FAILS, monkeypatch)

    with pytest.raises(MissingPart, match="Could not transfer artifact"):
        fetch_jars()

    assert not any((tmp_path / "data" / "gazeloop").iterdir())


def test_without_maven_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPart, match="install Maven"):
        fetch_jars()

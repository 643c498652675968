"""Apache Kafka's jars: where they are, and how Maven fetches them."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from services.contracts.errors import MissingPart

_POM = Path(__file__).with_name("kafka_pom.xml")
_CHECKOUT = Path(__file__).parents[3] / "deploy"
_FETCH_S = 900.0
KAFKA_VERSION: Final = re.findall(r"kafka_2\.13</artifactId><version>([^<]+)<", _POM.read_text())[0]
"""The version that the embedded broker runs."""


def jars_folder() -> Path:
    """The folder for this version's jars: in a checkout, or else among the user's own data."""
    if _CHECKOUT.is_dir():
        return _CHECKOUT / "kafka" / "jars"
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "gazeloop" / f"kafka-{KAFKA_VERSION}"


def find_jars() -> Path:
    """The folder of Kafka's jars.

    Raises
    ------
    MissingPart
        The jars are missing; `gazeloop broker fetch` fetches them.
    """
    folder = jars_folder()
    if not (folder / f"kafka_2.13-{KAFKA_VERSION}.jar").exists():
        raise MissingPart(
            f"no Kafka {KAFKA_VERSION} in {folder}; `gazeloop broker fetch` fetches it"
        )
    return folder.resolve()  # the archive of classes holds for jars at the same absolute path


def fetch_jars() -> Path:
    """Fetch the jars by Maven; returns their folder, which appears when it is complete.

    Raises
    ------
    MissingPart
        There is no Maven, or it fails.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingPart("no mvn on the PATH: install Maven, and run the same command again")
    folder = jars_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".kafka-") as temporary:
        shutil.copy(_POM, Path(temporary) / "pom.xml")  # Maven may write beside it
        command = [maven, "--quiet", "--batch-mode", "dependency:copy-dependencies"]
        command.append(f"-DoutputDirectory={temporary}/jars")
        done = subprocess.run(  # noqa: S603  # the user's own Maven
            command, cwd=temporary, capture_output=True, text=True, check=False, timeout=_FETCH_S
        )
        if done.returncode != 0:
            first = (done.stdout + done.stderr).strip().partition("\n")[0]
            raise MissingPart(f"Maven could not fetch Kafka {KAFKA_VERSION}: {first}")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(temporary) / "jars").rename(folder)
    return find_jars()

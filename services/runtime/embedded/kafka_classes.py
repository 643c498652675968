"""Archives Kafka's classes, so that brokers start faster; `gazeloop broker fetch` runs it once.

A JVM spends most of a broker's start parsing and verifying classes from the jars. An archive holds
them as the JVM keeps them in memory (application class-data sharing, JEP 350).
"""

import os
import subprocess
import tempfile
from pathlib import Path

from services.runtime.embedded.kafka import EmbeddedKafka, find_java
from services.runtime.embedded.kafka_jars import find_jars

_WRITE_S = 120.0
_USE_S = 60.0


def archive_classes(archive: Path) -> None:
    """Write the classes that a broker loads at its start to a file, if the JVM can use it."""
    draft = archive.with_suffix(".new")
    with tempfile.TemporaryDirectory() as folder:
        options = [f"-XX:ArchiveClassesAtExit={draft}", "-Xlog:cds*=off"]
        EmbeddedKafka(Path(folder), options=options, grace_s=_WRITE_S).stop()
    if is_usable(draft):
        draft.replace(archive)
    draft.unlink(missing_ok=True)


def is_usable(archive: Path) -> bool:
    """Whether a JVM can start with the archive: one that is cut short crashes it."""
    command = [str(find_java()), "-Xshare:on", f"-XX:SharedArchiveFile={archive}"]
    command += [f"-XX:ErrorFile={os.devnull}", "-cp", f"{find_jars()}/*", "-version"]
    tried = subprocess.run(command, capture_output=True, check=False, timeout=_USE_S)  # noqa: S603  # the user's own java
    return tried.returncode == 0

"""Kafka and MongoDB on a small disk of their own, which fills up."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.annotation.stores.opening import open_annotation_stores
from services.app.doctor.examining import examine
from services.runtime.clock import SystemClock
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import Mongod
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from services.runtime.stores.opening import open_stores
from tests.integration.doctor.conftest import findings_of, settings_for

SIZE = 700 << 20
"""MongoDB's journal alone is two files of 100 MB."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, *, leaving: float) -> None:
    """Take what is free, but for a share of the whole."""
    there = os.statvfs(disk)
    size = there.f_bavail * there.f_frsize - int(leaving * there.f_blocks * there.f_frsize)
    with (disk / f"ballast-{leaving}").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


async def looked(settings: Settings, part: str) -> str:
    return findings_of(await examine(settings, SystemClock(), model=False), part)


async def test_mongodbs_disk_is_found_before_it_is_full(
    kafka: BrokerAddress, disk: Path, tmp_path: Path
) -> None:
    with Mongod(disk / "mongodb") as mongod:
        settings = settings_for(kafka, mongod.url, tmp_path)
        # MongoDB says nothing of an empty database.
        async with open_stores(settings, "the broker") as stores:
            await open_annotation_stores(stores)
        assert "of its disk left" not in await looked(settings, "mongodb")

        fill(disk, leaving=0.07)
        found = await looked(settings, "mongodb")
        assert re.search(r"warning: it has \d% of its disk left: enlarge its volume", found)

        fill(disk, leaving=0.015)
        found = await looked(settings, "mongodb")
        assert re.search(r"error: it has \d% of its disk left", found), found


async def test_kafkas_disk_is_found_before_it_is_full(
    mongodb_url: str, disk: Path, tmp_path: Path
) -> None:
    with EmbeddedKafka(disk / "kafka") as kafka:
        broker = BrokerAddress.parse(kafka.bootstrap)
        create_topics(broker, Settings())
        settings = settings_for(broker, mongodb_url, tmp_path)
        assert "of its disk left" not in await looked(settings, "kafka")

        fill(disk, leaving=0.07)
        found = await looked(settings, "kafka")
        assert re.search(
            r"warning: broker 1, \S+, has \d% of its disk left: enlarge its volume", found
        )

        fill(disk, leaving=0.015)
        found = await looked(settings, "kafka")
        assert re.search(r"error: broker 1, \S+, has \d% of its disk left", found)

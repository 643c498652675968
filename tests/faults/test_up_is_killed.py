"""`gazeloop up`, killed or without power at any moment of its start and end: `make faults`."""

import asyncio
import json
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadline import until
from tests.disks import Disk, mounted
from tests.e2e.command_line import GAZELOOP, ROOT, environment, gazeloop
from tests.ports import free_ports
from tests.unit.ingest.datasets import write_images

KILLS = 20
CUTS = 10
DISK_BYTES = 3 << 30
IMAGES = 12
RIGHT = [2.0, 3.0, 20.0, 15.0]
WRONG = [40.0, 2.0, 12.0, 10.0]
MAX_START_S = 15.0
MAX_END_S = 4.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return mined(tmp_path, tmp_path / "data")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk", DISK_BYTES) as disk:
        if disk is None:
            pytest.skip("no disk can be mounted here")
        yield disk


def mined(tmp_path: Path, data: Path) -> Path:
    """A data folder with what `mine` has found."""
    names = [f"{number}.jpg" for number in range(1, IMAGES + 1)]
    write_images(tmp_path / "img", *names)
    images = [
        {"id": number, "file_name": name, "width": 64, "height": 48}
        for number, name in enumerate(names, 1)
    ]
    truth = [{"image_id": image["id"], "category_id": 1, "bbox": RIGHT} for image in images]
    wrong = [{"image_id": image["id"], "category_id": 1, "bbox": WRONG} for image in images]
    categories = [{"id": 1, "name": "stop sign"}]
    content = {"images": images, "annotations": truth, "categories": categories}
    (tmp_path / "gt.json").write_text(json.dumps(content))
    (tmp_path / "dt.json").write_text(json.dumps([{"score": 0.9, **box} for box in truth + wrong]))
    files: list[str | Path] = [
        "--ground-truth",
        tmp_path / "gt.json",
        "--predictions",
        tmp_path / "dt.json",
    ]
    options: list[str | Path] = [
        "--images",
        tmp_path / "img",
        *files,
        "--detector",
        "ods@1",
        "--montages",
        "0",
    ]
    done = gazeloop(data, "--set", "reference_share=0.5", "mine", "coco", *options)
    assert done.returncode == 0, done.stderr
    return data


@contextmanager
def up(data: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    ports = {"GAZELOOP_METRICS_PORT": str(port), "GAZELOOP_HTTP_PORT": "0"}
    with (data / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [*GAZELOOP, "--data", data, "--set", "reference_share=0.5", "up"],
            cwd=ROOT,
            env=environment() | ports,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
    except httpx.TransportError:
        return False


def report(data: Path) -> dict[str, Any]:
    done = gazeloop(data, "--set", "reference_share=0.5", "report", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout, parse_float=lambda text: round(float(text), 12))
    return found


@pytest.mark.timeout(3600)
async def test_up_starts_again_whenever_it_was_killed_and_the_report_is_the_same(
    data: Path,
) -> None:
    rng, before = random.Random(4), await asyncio.to_thread(report, data)
    assert before["counts"]["frames"] == IMAGES
    (port,) = free_ports(1)
    for kill in range(KILLS):
        with up(data, port) as process:
            if kill % 2:
                await until(lambda: is_ready(port), deadline_s=300)
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(rng.uniform(0, MAX_END_S))
            else:
                await asyncio.sleep(rng.uniform(0, MAX_START_S))
            process.kill()
    await start_and_end(data, port)
    assert await asyncio.to_thread(report, data) == before


async def start_and_end(data: Path, port: int) -> None:
    with up(data, port) as process:
        await until(lambda: is_ready(port), deadline_s=300)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 120) == 0


@pytest.mark.timeout(3600)
async def test_up_starts_again_wherever_the_power_failed_and_the_report_is_the_same(
    disk: Disk, tmp_path: Path
) -> None:
    data = await asyncio.to_thread(mined, tmp_path, disk.path / "data")
    rng, before = random.Random(5), await asyncio.to_thread(report, data)
    (port,) = free_ports(1)
    for cut in range(CUTS):
        with up(data, port):
            if cut % 2:
                await until(lambda: is_ready(port), deadline_s=300)
            else:
                await asyncio.sleep(rng.uniform(0, MAX_START_S))
            disk.cut_power()
        # Kafka and MongoDB end with it, but not at once.
        await until(lambda: unmounted(disk), deadline_s=60)
        disk.mount()
    await start_and_end(data, port)
    assert await asyncio.to_thread(report, data) == before


def unmounted(disk: Disk) -> bool:
    try:
        disk.unmount()
    except subprocess.CalledProcessError:
        return False
    return True

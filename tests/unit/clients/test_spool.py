"""The disk spool: order, bounds, restarts, and what Gazeloop refuses."""

import asyncio
import errno
import json
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gazeloop_client import SpooledClient, SpoolFull
from gazeloop_client.spool import Spool

from services.contracts.events import FrameCaptured, PredictionsMade
from tests.deadline import until
from tests.unit.clients.network import Lost, Network, predictions
from tests.unit.ingest.datasets import jpeg
from tests.unit.ingest.web import Web

AT = datetime(2026, 5, 4, 10, tzinfo=UTC)
FLUSH_S = 240.0


@pytest.fixture
def network() -> Network:
    return Network(Web())


@contextmanager
def vehicle(network: Network, folder: Path, token: str | None = None) -> Iterator[SpooledClient]:
    token = token or asyncio.run(network.web.token("vehicle:v1"))
    with SpooledClient("http://ingest", token, folder, transport=network) as client:
        yield client


def test_records_arrive_in_order_over_faults(network: Network, tmp_path: Path) -> None:
    network.faults = deque([Lost(arrives=True), Lost(arrives=False), (503, "")])
    with vehicle(network, tmp_path) as client:
        for number in range(3):
            client.publish_frame(jpeg(), {"frame_id": f"v1:{number}", "captured_at": AT})
            client.publish_predictions(predictions(number))
        assert client.flush(FLUSH_S)
        assert (len(client), client.refused, client.last_error) == (0, 0, None)
    seen = list(dict.fromkeys((type(event), event.key()) for event in network.web.published))
    assert seen == [
        (kind, f"v1:{number}") for number in range(3) for kind in (FrameCaptured, PredictionsMade)
    ]


def test_what_waits_survives_the_process(network: Network, tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    for number in range(2):
        spool.add("/v1/predictions", json.dumps(predictions(number)).encode())
    spool.close()
    (tmp_path / "draft").write_bytes(b"what a loss of power left")
    with vehicle(network, tmp_path) as client:
        client.publish_predictions(predictions(2))
        assert client.flush(FLUSH_S)
        assert client.refused == 0
    assert [event.key() for event in network.web.published] == ["v1:0", "v1:1", "v1:2"]


def test_what_is_refused_lies_aside_with_the_reason(network: Network, tmp_path: Path) -> None:
    with vehicle(network, tmp_path) as client:
        client.publish_frame(b"no image", {"frame_id": "v1:0", "captured_at": AT})
        for number in range(5):
            client.publish_predictions(predictions(number, 7.0 if number == 2 else 0.5))
        assert client.flush(FLUSH_S)
        assert client.refused == 2
    reasons = [file.read_text() for file in sorted((tmp_path / "refused").glob("*.json"))]
    assert "unsupported_format" in reasons[0]
    assert "malformed_record" in reasons[1]
    assert [event.key() for event in network.web.published] == ["v1:0", "v1:1", "v1:3", "v1:4"]


async def test_a_wrong_token_loses_nothing(network: Network, tmp_path: Path) -> None:
    with vehicle(network, tmp_path, "expired") as client:
        client.publish_predictions(predictions(1))
        await until(lambda: client.last_error is not None)
        assert len(client) == 1
    with vehicle(network, tmp_path, await network.web.token("vehicle:v1")) as client:
        assert await asyncio.to_thread(client.flush, FLUSH_S)
    assert [event.key() for event in network.web.published] == ["v1:1"]


def test_a_full_spool_keeps_the_oldest(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000)
    spool.add("/v1/predictions", b"1" * 600)
    with pytest.raises(SpoolFull, match="is Gazeloop"):
        spool.add("/v1/predictions", b"2" * 600)
    (oldest,) = spool.oldest(9, 1 << 20)
    assert oldest.described == b"1" * 600
    spool.remove(oldest)
    spool.add("/v1/predictions", b"2" * 600)
    spool.close()


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, 1_000)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpoolFull, match="disk"):
        spool.add("/v1/predictions", b"{}")
    assert len(spool) == 0
    spool.close()


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff",
        b'{"path": "/v1/predictions", "described": "2", "image": false}\n{}',
        b'{"path": "http://elsewhere/\\u0000", "described": 2, "image": false}\n{}',
    ],
)
def test_a_damaged_file_does_not_stop_the_others(
    network: Network, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / f"{0:020d}.record").write_bytes(content)
    (tmp_path / "copy of 1.record").write_bytes(b"not the spool's own")
    with vehicle(network, tmp_path) as client:
        client.publish_predictions(predictions(1))
        assert client.flush(FLUSH_S)
        assert client.refused == 1
    assert "damaged" in (tmp_path / "refused" / f"{0:020d}.json").read_text()
    assert [event.key() for event in network.web.published] == ["v1:1"]


def test_a_deleted_file_does_not_stop_the_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000)
    for number in range(3):
        spool.add("/v1/predictions", str(number).encode())
    first, second, third = spool.oldest(9, 1 << 20)
    first.file.unlink()
    second.file.unlink()
    spool.remove(first)
    assert [record.file for record in spool.oldest(9, 1 << 20)] == [third.file]
    spool.remove(third)
    spool.add("/v1/predictions", b"3" * 900)  # nothing of the three counts any more
    spool.close()


def test_a_portal_in_between_refuses_no_record(network: Network, tmp_path: Path) -> None:
    network.faults = deque([(302, ""), (520, "")])
    with vehicle(network, tmp_path) as client:
        client.publish_predictions(predictions(1))
        assert client.flush(FLUSH_S)
        assert client.refused == 0
    assert [event.key() for event in network.web.published] == ["v1:1"]


def test_what_is_unforeseen_does_not_end_the_delivery(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, errors = Path.read_bytes, [OSError(errno.EIO, "a bad disk"), RuntimeError("unforeseen")]

    def failing(file: Path) -> bytes:
        if errors:
            raise errors.pop()
        return read(file)

    with vehicle(network, tmp_path) as client:
        monkeypatch.setattr(Path, "read_bytes", failing)
        client.publish_predictions(predictions(1))
        assert client.flush(FLUSH_S)
    assert not errors


def test_a_full_disk_does_not_keep_a_refused_record_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 1_000)
    spool.add("/v1/predictions", b"{}")
    (record,) = spool.oldest(9, 1 << 20)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Spool, "_write", full)
    spool.refuse(record.file, "malformed_record", "no frame_id")
    assert (len(spool), spool.refused) == (0, 1)
    spool.close()


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000)
    spool.close()
    spool.close()
    with pytest.raises(ValueError, match="closed"):
        spool.add("/v1/predictions", b"{}")


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000)
    with pytest.raises(BlockingIOError, match="another process"):
        Spool(tmp_path, 1_000)
    spool.close()

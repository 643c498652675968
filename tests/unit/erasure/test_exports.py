"""An erased frame leaves the exports that are recorded, and others' frames stay."""

import asyncio
import fcntl
import os
from pathlib import Path
from threading import Thread, current_thread

import orjson
import pytest

from services.app.erasure.exports import ExportCopies, ExportTraces
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditRecord
from services.formats.writers.frames import stem_of
from tests.fakes.audit import InMemoryAuditLog
from tests.samples import CAPTURED_AT

GONE, KEPT = FrameId("drive/1"), FrameId("drive/12")


def _export(folder: Path) -> None:
    stems = {frame_id: stem_of(frame_id) for frame_id in (GONE, KEPT)}
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for stem in stems.values():
        (folder / "images" / f"{stem}.jpg").write_bytes(b"pixels")
        (folder / "labels" / f"{stem}.txt").write_text("0 .5 .5 .1 .1")
    manifest = {
        "files": {
            "data.yaml": "0",
            "all.json": "0",
            f"../{stems[GONE]}.txt": "0",
            **{f"labels/{stem}.txt": "0" for stem in stems.values()},
        },
        "frames": {f"{stem}.jpg": {"frame_id": name} for name, stem in stems.items()},
    }
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))


async def _parts(*folders: Path) -> tuple[ExportTraces, ExportCopies]:
    log = InMemoryAuditLog()
    for folder in folders:
        await log.append(AuditRecord(CAPTURED_AT, AuditAct.EXPORTED, "root", str(folder)))
    return ExportTraces(log), ExportCopies(log)


async def test_an_erased_frame_leaves_the_exports_and_no_other_does(tmp_path: Path) -> None:
    folder, other = tmp_path / "export", tmp_path / "of-others"
    _export(folder)
    other.mkdir()
    (other / "manifest.json").write_text("[]")
    outside = tmp_path / f"{stem_of(GONE)}.txt"
    outside.write_text("not of the export")
    (folder / "all.json").write_text(stem_of(GONE))
    traces, copies = await _parts(folder, other, tmp_path / "gone")
    assert await traces.count([GONE]) == 1
    whole, elsewhere = await copies.of([GONE])
    assert whole.ids == (str(folder / "all.json"),)
    assert elsewhere.ids == (str(tmp_path / "gone"), str(other))

    await traces.erase([GONE])
    assert outside.exists()

    assert await traces.count([GONE]) == 0
    assert await traces.count([KEPT]) == 1
    kept, manifest = stem_of(KEPT), orjson.loads((folder / "manifest.json").read_bytes())
    assert set(manifest["files"]) == {"data.yaml", "all.json", f"labels/{kept}.txt"}
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"manifest.json", "all.json", f"{kept}.jpg", f"{kept}.txt"}
    await traces.erase([GONE])


async def test_of_two_erasures_at_once_one_waits_for_the_other(tmp_path: Path) -> None:
    """Else the later one would write the manifest back with the entries of the first."""
    folder = tmp_path / "export"
    _export(folder)
    traces, _ = await _parts(folder)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    erasing = asyncio.create_task(traces.erase([GONE]))
    assert await asyncio.wait({erasing}, timeout=0.2) == (set(), {erasing})
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    del manifest["frames"][f"{stem_of(KEPT)}.jpg"]
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    os.close(other)
    await erasing
    assert orjson.loads((folder / "manifest.json").read_bytes())["frames"] == {}


async def test_manifests_are_read_off_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _export(tmp_path / "export")
    _, copies = await _parts(tmp_path / "export", tmp_path / "gone")
    readers: list[Thread] = []
    read_bytes = Path.read_bytes

    def read(path: Path) -> bytes:
        readers.append(current_thread())
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    await copies.of([GONE])
    assert readers
    assert current_thread() not in readers

"""An export is recorded before it is written, and has no frames that are erased meanwhile."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.cli.work.leaving import leaving
from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct
from services.domain.ports.erasure import ErasureRequest
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.tombstones import InMemoryTombstones

FRAMES = [FrameId("f1")]


@dataclass
class _Stores:
    audit: InMemoryAuditLog = field(default_factory=InMemoryAuditLog)
    tombstones: InMemoryTombstones = field(default_factory=InMemoryTombstones)


async def test_an_interrupted_export_is_recorded(tmp_path: Path) -> None:
    stores: Any = _Stores()

    with pytest.raises(KeyboardInterrupt):
        async with leaving(stores, tmp_path, FRAMES, what="training-set", images="originals"):
            raise KeyboardInterrupt

    (record,) = stores.audit.records
    assert (record.act, record.on) == (AuditAct.EXPORTED, str(tmp_path))
    assert record.details == {"what": "training-set", "images": "originals", "frames": 1}


async def test_an_export_with_a_frame_that_was_erased_meanwhile_is_refused(tmp_path: Path) -> None:
    stores: Any = _Stores()
    request = ErasureRequest("ada", "request 17", datetime(2026, 5, 4, tzinfo=UTC))

    with pytest.raises(InvalidRecord, match="1 frames were erased meanwhile: remove"):
        async with leaving(stores, tmp_path, FRAMES):
            await stores.tombstones.add([FrameId("f1")], request)


async def test_an_export_to_a_folder_in_use_is_not_recorded(tmp_path: Path) -> None:
    stores: Any = _Stores()
    (tmp_path / "other").touch()

    with pytest.raises(InvalidRecord, match="not empty"):
        async with leaving(stores, tmp_path, FRAMES):
            pass

    assert stores.audit.records == []


@pytest.mark.parametrize("kind", ["file", "broken link"])
async def test_an_export_to_what_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    stores: Any = _Stores()
    to = tmp_path / "to"
    if kind == "file":
        to.touch()
    else:
        to.symlink_to(tmp_path / "gone")

    with pytest.raises(InvalidRecord, match="a file or a broken link: name another folder"):
        async with leaving(stores, to, FRAMES):
            pass

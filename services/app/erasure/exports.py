"""Exports on this machine that hold erased frames."""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from services.annotation.exporting import MANIFEST
from services.contracts.bounds import FIRST_TIME
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditLog
from services.formats.writers.formats import IMAGES

log = structlog.get_logger(__name__)


class ExportTraces:
    """Frames in the manifests of exports that the audit log names and this machine has.

    A frame's entry, image and files of its own are deleted. A file that has all frames of an export
    still names it: the export is named in a warning, to be written again.
    """

    name = "frames in exports on this machine"

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        folders = await self._folders()
        return await asyncio.to_thread(
            lambda: sum(len(_naming(_manifest(folder), frame_ids)) for folder in folders)
        )

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        for folder in await self._folders():
            await asyncio.to_thread(_without, folder, frame_ids)

    async def _folders(self) -> list[Path]:
        exported = {
            record.on
            async for record in self._audit.since(FIRST_TIME)
            if record.act is AuditAct.EXPORTED
        }
        return [Path(folder) for folder in sorted(exported)]


def _manifest(folder: Path) -> dict[str, Any]:
    """An export's manifest; empty if the folder is gone, elsewhere, or holds something else."""
    try:
        found = orjson.loads((folder / MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("frames"), dict) else {}


def _naming(manifest: Mapping[str, Any], frame_ids: Collection[FrameId]) -> set[str]:
    """The names of the frames' image files."""
    frames = manifest.get("frames", {}).items()
    return {name for name, frame in frames if frame.get("frame_id") in frame_ids}


def _without(folder: Path, frame_ids: Collection[FrameId]) -> None:
    manifest = _manifest(folder)
    names = _naming(manifest, frame_ids)
    if not names:
        return
    stems = {Path(name).stem for name in names}
    files = manifest.get("files", {})
    own = {path for path in files if Path(path).stem in stems}
    images = {f"{place}/{name}" for place in IMAGES.values() for name in names}
    for path in (*own, *images):
        target = (folder / path).resolve()
        # Others may have changed the manifest: it names no file outside of its folder.
        if target.is_relative_to(folder.resolve()):
            target.unlink(missing_ok=True)
    manifest["files"] = {path: digest for path, digest in files.items() if path not in own}
    manifest["frames"] = {
        name: frame for name, frame in manifest["frames"].items() if name not in names
    }
    # Written last and replaced at once: until then, the next erasure finds the frames again.
    draft = folder / f"{MANIFEST}.new"
    draft.write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    draft.replace(folder / MANIFEST)
    log.warning("export_names_erased_frames", folder=str(folder), frames=len(names))

"""Exports on this machine that hold erased frames."""

import asyncio
import fcntl
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from services.annotation.exporting import MANIFEST
from services.contracts.bounds import FIRST_TIME
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditLog
from services.domain.ports.erasure import OutsideCopy
from services.formats.writers.formats import IMAGES
from services.runtime.durability import replace_file


class ExportTraces:
    """Frames in the manifests of exports that the audit log names and this machine has.

    A frame's entry, image and other files are deleted. Files that have all frames of an export
    still name it: `ExportCopies` finds them.
    """

    name = "frames in exports on this machine"

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        folders = await _exported(self._audit)
        return await asyncio.to_thread(
            lambda: sum(len(_naming(_manifest(folder), frame_ids)) for folder in folders)
        )

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        for folder in await _exported(self._audit):
            await asyncio.to_thread(_erase_from, folder, frame_ids)


class ExportCopies:
    """Exports elsewhere, and files of exports on this machine that have all frames of an export."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def of(self, frame_ids: Collection[FrameId]) -> list[OutsideCopy]:
        folders = await _exported(self._audit)
        elsewhere, files = await asyncio.to_thread(_copies, folders, frame_ids)
        found = []
        if files:
            remedy = "write these exports again to new folders, and delete the old ones"
            found.append(OutsideCopy("files of exports", files, remedy))
        if elsewhere:
            remedy = "may have the frames: look there, and delete them"
            found.append(OutsideCopy("exports without a manifest here", elsewhere, remedy))
        return found


async def _exported(audit: AuditLog) -> list[Path]:
    exported = {
        record.on async for record in audit.since(FIRST_TIME) if record.act is AuditAct.EXPORTED
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


def _erase_from(folder: Path, frame_ids: Collection[FrameId]) -> None:
    if _naming(_manifest(folder), frame_ids):
        with _alone(folder):
            _rewrite(folder, frame_ids)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for other erasures: of two that write the manifest at once, one's entries would stay."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _rewrite(folder: Path, frame_ids: Collection[FrameId]) -> None:
    manifest = _manifest(folder)
    names = _naming(manifest, frame_ids)
    if not names:
        return
    files, own = manifest.get("files", {}), _own_files(manifest, names)
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
    replace_file(folder / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def _own_files(manifest: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """The files that are about these images alone, as each label file of YOLO is."""
    stems = {Path(name).stem for name in names}
    return {path for path in manifest.get("files", {}) if Path(path).stem in stems}


def _copies(
    folders: Sequence[Path], frame_ids: Collection[FrameId]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The exports without a manifest here, and the files of the others that name the frames."""
    elsewhere: list[str] = []
    files: list[str] = []
    for folder in folders:
        manifest = _manifest(folder)
        if manifest:
            files += _whole_files(folder, manifest, frame_ids)
        else:
            elsewhere.append(str(folder))
    return tuple(elsewhere), tuple(files)


def _whole_files(
    folder: Path, manifest: Mapping[str, Any], frame_ids: Collection[FrameId]
) -> list[str]:
    """The files of an export that name the frames among others."""
    names = _naming(manifest, frame_ids)
    if not names:
        return []
    own = _own_files(manifest, names)
    marks = [Path(name).stem.encode() for name in names]
    marks += [orjson.dumps(frame_id)[1:-1] for frame_id in frame_ids]
    others = [folder / path for path in manifest["files"] if path not in own]
    return [str(path) for path in others if path.is_file() and _has_any(path.read_bytes(), marks)]


def _has_any(content: bytes, marks: Collection[bytes]) -> bool:
    return any(mark in content for mark in marks)

"""File systems of their own, which fill up, and which lose what a failing power would take."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_EXT4_IOC_SHUTDOWN = 0x8004_587D
"""How the kernel's own tests cut the power of a file system."""
_WITHOUT_WRITING_THE_JOURNAL = struct.pack("I", 2)


class Disk:
    """An ext4 file system in a file, on a loop device.

    Parameters
    ----------
    path : where it is mounted
    """

    def __init__(self, path: Path, image: Path) -> None:
        self.path = path
        self._image = image
        self.mount()

    def mount(self) -> None:
        """Mount it, with what has reached its device."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def cut_power(self) -> None:
        """Lose what is in the page cache only; no write succeeds until it is mounted again."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _EXT4_IOC_SHUTDOWN, _WITHOUT_WRITING_THE_JOURNAL)
        finally:
            os.close(folder)

    def unmount(self) -> None:
        """Take it away; nobody may have a file of it open."""
        _run("umount", str(self.path))


@contextmanager
def mounted(path: Path, size: int) -> Iterator[Disk | None]:
    """A new, empty disk; None where nothing can be mounted, as only root can."""
    image = path.with_name(f"{path.name}.ext4")
    path.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(size)
    try:
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        disk = Disk(path, image)
    except (FileNotFoundError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield disk
    finally:
        _run("umount", "--lazy", str(path))
        image.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

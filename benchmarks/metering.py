"""What a run of the pipeline costs: CPU by stage, events, and bytes."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from benchmarks.processes import Processes
from benchmarks.stage_cpu import StageClock
from services.runtime.settings import Settings

DRAWING, STORING, SENDING = "drawing", "image storage", "publishing"
WATCHING, TIMING = "watching", "timing"
"""The benchmark's own stages: it draws frames, stores their images, publishes them, watches what
happens, and times callbacks."""
_HARNESS = (DRAWING, STORING, SENDING, WATCHING, TIMING)


class Meter:
    """What a run costs, from when this is made."""

    def __init__(self, folder: Path, clock: StageClock, processes: Processes) -> None:
        self._folder = folder
        self._clock = clock
        self._processes = processes
        self._kept = sizes(folder)
        self._cpu = self._cpu_by_stage()
        self._written = processes.written_bytes()
        self._consumed = processes.consumed()
        self._started = time.monotonic()

    def read(self, frames: int, settings: Settings) -> dict[str, object]:
        """The figures, now that so many frames are done with."""
        took = time.monotonic() - self._started
        cpu = self._cpu_by_stage()
        spent = {name: cpu[name] - self._cpu.get(name, 0.0) for name in sorted(cpu)}
        harness = {name: spent.pop(name, 0.0) for name in _HARNESS}
        written, consumed = self._processes.written_bytes(), self._processes.consumed()
        taken = {name: consumed[name] - self._consumed.get(name, 0.0) for name in sorted(consumed)}
        events = sum(taken.values())
        flush_mongodb(settings)
        kept = sizes(self._folder)
        return {
            "seconds": round(took, 1),
            "frames_per_s": round(frames / took, 1),
            "events_per_s": round(events / took, 1),
            "events_per_frame": round(events / frames, 1),
            "events_per_frame_by_topic": {
                name: round(number / frames, 2) for name, number in taken.items()
            },
            "cpu_ms_per_frame": round(sum(spent.values()) * 1000 / frames, 2),
            "cpu_ms_per_frame_by_stage": _ms_per_frame(spent, frames),
            "cpu_ms_per_frame_of_harness": _ms_per_frame(harness, frames),
            "written_bytes_per_frame": {
                name: round((number - self._written[name]) / frames)
                for name, number in written.items()
            },
            "kept_bytes_per_frame": {
                name: round((number - self._kept.get(name, 0)) / frames)
                for name, number in sorted(kept.items())
            },
        }

    def _cpu_by_stage(self) -> dict[str, float]:
        """Of the services, of other processes, and of what no service here can be said to spend."""
        services = self._clock.spent_s() | {TIMING: self._clock.timing_s}
        rest = time.process_time() - sum(services.values())
        return services | self._processes.cpu_s_of_others() | {"rest": rest}


def _ms_per_frame(spent_s: Mapping[str, float], frames: int) -> dict[str, float]:
    return {name: round(value * 1000 / frames, 2) for name, value in spent_s.items()}


def sizes(folder: Path, *, but: str = "") -> dict[str, int]:
    """Bytes on disk by part, without one of them."""
    return {
        part.name: sum(_size(file) for file in part.rglob("*"))
        for part in folder.iterdir()
        if part.is_dir() and part.name != but
    }


def _size(file: Path) -> int:
    try:
        return file.stat().st_blocks * 512 if file.is_file() else 0
    except FileNotFoundError:  # a store has just dropped it
        return 0


def flush_mongodb(settings: Settings) -> None:
    """Let its files hold what it knows: it writes them once a minute."""
    login: dict[str, Any] = {}
    if settings.mongodb_user:
        password = settings.mongodb_password.get_secret_value()
        login = {"username": settings.mongodb_user, "password": password}
    with MongoClient[dict[str, object]](settings.mongodb, **login) as client:
        client.admin.command("fsync")

"""What a run of the pipeline costs: CPU by stage, bytes, and the quantiles that are exported."""

import time
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import REGISTRY
from pymongo import MongoClient

from benchmarks.stage_cpu import StageClock, brokers_and_stores, cpu_s, own_bytes, written_bytes
from services.runtime.settings import Settings


class Meter:
    """What a run costs, from when this is made."""

    def __init__(self, folder: Path, clock: StageClock) -> None:
        self._folder = folder
        self._clock = clock
        self._others = brokers_and_stores()
        self._kept = sizes(folder)
        self._cpu = self._cpu_by_stage()
        self._written = self._written_by_process()
        self._started = time.monotonic()

    def read(self, frames: int, settings: Settings) -> dict[str, object]:
        """The figures, now that so many frames are done with."""
        took = time.monotonic() - self._started
        cpu = self._cpu_by_stage()
        spent = {name: cpu[name] - self._cpu.get(name, 0.0) for name in sorted(cpu)}
        written = self._written_by_process()
        flush_mongodb(settings)
        kept = sizes(self._folder)
        return {
            "seconds": round(took, 1),
            "frames_per_s": round(frames / took, 1),
            "events_per_s": round(consumed() / took, 1),
            "events_per_frame": round(consumed() / frames, 1),
            "cpu_s_per_frame": round(sum(spent.values()) / frames, 4),
            "cpu_ms_per_frame_by_stage": {
                name: round(each * 1000 / frames, 2) for name, each in spent.items()
            },
            "written_bytes_per_frame": {
                name: round((each - self._written[name]) / frames) for name, each in written.items()
            },
            "kept_bytes_per_frame": {
                name: round((each - self._kept.get(name, 0)) / frames)
                for name, each in sorted(kept.items())
            },
        }

    def _cpu_by_stage(self) -> dict[str, float]:
        """Of the services, of broker and MongoDB, and of what no service can be said to spend."""
        services = dict(self._clock.spent_s)
        rest = time.process_time() - sum(services.values())
        return services | {name: cpu_s(pid) for name, pid in self._others.items()} | {"rest": rest}

    def _written_by_process(self) -> dict[str, int]:
        """Qdrant Edge and the images are the services' own."""
        others = {name: written_bytes(pid) for name, pid in self._others.items()}
        return others | {"services": written_bytes()}


def cpu_seconds() -> float:
    """Of this process and all that it started: broker and MongoDB too."""
    return time.process_time() + sum(cpu_s(pid) for pid in brokers_and_stores().values())


def megabytes() -> dict[str, int]:
    """The memory that the services, the broker and MongoDB hold for themselves."""
    others = {f"{name}_mb": own_bytes(pid) >> 20 for name, pid in brokers_and_stores().items()}
    return {"services_mb": own_bytes() >> 20} | others


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
    with MongoClient[dict[str, object]](settings.mongodb) as client:
        client.admin.command("fsync")


def exported(name: str, labels: Sequence[str], quantile: float) -> dict[str, float | None]:
    """A quantile in seconds of a histogram that the services export, by labels."""
    buckets: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == f"{name}_bucket":
                key = tuple(sample.labels[label] for label in labels)
                bound = float(sample.labels["le"].replace("+Inf", "inf"))
                buckets.setdefault(key, []).append((bound, sample.value))
    return {" ".join(key): _interpolated(quantile, each) for key, each in sorted(buckets.items())}


def _interpolated(quantile: float, buckets: list[tuple[float, float]]) -> float | None:
    wanted = quantile * buckets[-1][1]
    below, counted = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > counted:
            share = (wanted - counted) / (count - counted)
            return None if bound == float("inf") else round(below + share * (bound - below), 2)
        below, counted = bound, count
    return None


def consumed() -> float:
    """Events that all services have taken."""
    return sum(
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == "gazeloop_events_consumed_total"
    )

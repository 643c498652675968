"""The processes of a run, what each has had so far, and what all of them export."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
from prometheus_client import REGISTRY, Metric
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.apart import Apart

_PROGRAMS = {"java": "kafka", "mongod": "mongodb"}


class Processes:
    """The own process, the broker and MongoDB that run below it, and services apart from it.

    To be made when all of them run. Where figures come by process, the own one is `services`.
    """

    def __init__(self, apart: Sequence[Apart] = ()) -> None:
        self._apart = apart
        self._others = _brokers_and_stores() | {item.name: item.pid for item in apart}

    def cpu_s_of_others(self) -> dict[str, float]:
        """CPU seconds of all but this one."""
        return {name: _cpu_s(pid) for name, pid in self._others.items()}

    def cpu_s(self) -> float:
        """CPU seconds of them all."""
        return sum(self.cpu_s_by_process().values())

    def cpu_s_by_process(self) -> dict[str, float]:
        """CPU seconds of each."""
        return {"services": time.process_time(), **self.cpu_s_of_others()}

    def megabytes(self) -> dict[str, int]:
        """The memory that each holds for itself."""
        return {f"{name}_mb": _own_bytes(pid) >> 20 for name, pid in self._all().items()}

    def written_bytes(self) -> dict[str, int]:
        """What each has given the disk to write."""
        return {name: _written_bytes(pid) for name, pid in self._all().items()}

    def consumed(self) -> dict[str, float]:
        """Events that services have taken, by service and topic."""
        return {
            f"{sample.labels['service']} {sample.labels['topic']}": sample.value
            for family in self._exported()
            for sample in family.samples
            if sample.name == "gazeloop_events_consumed_total"
        }

    def most(self, name: str) -> float:
        """The largest value of a gauge that services export; 0 if none does."""
        samples = (sample for family in self._exported() for sample in family.samples)
        return max((sample.value for sample in samples if sample.name == name), default=0.0)

    def quantile(
        self, name: str, labels: Sequence[str], quantile: float
    ) -> dict[str, float | None]:
        """A quantile in seconds of a histogram that services export, by labels."""
        buckets: defaultdict[str, defaultdict[float, float]] = defaultdict(
            lambda: defaultdict(float)
        )
        for family in self._exported():
            for sample in family.samples:
                if sample.name == f"{name}_bucket":
                    key = " ".join(sample.labels[label] for label in labels)
                    buckets[key][float(sample.labels["le"])] += sample.value
        return {key: _interpolated(quantile, bucket) for key, bucket in sorted(buckets.items())}

    def _all(self) -> dict[str, int | str]:
        return {"services": "self", **self._others}

    def _exported(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        for apart in self._apart:
            response = httpx.get(apart.metrics).raise_for_status()
            yield from text_string_to_metric_families(response.text)


def _interpolated(quantile: float, buckets: Mapping[float, float]) -> float | None:
    bounds = sorted(buckets.items())
    wanted = quantile * bounds[-1][1]
    below, counted = 0.0, 0.0
    for bound, count in bounds:
        if count >= wanted and count > counted:
            share = (wanted - counted) / (count - counted)
            return None if bound == float("inf") else round(below + share * (bound - below), 2)
        below, counted = bound, count
    return None


def _brokers_and_stores() -> dict[str, int]:
    """Ids of the processes below this one, by what they are."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and _is_below(int(path.name)):
            name = _PROGRAMS.get((path / "comm").read_text().strip())
            if name is not None:
                found[name] = int(path.name)
    return found


def _is_below(pid: int) -> bool:
    try:
        while pid not in {0, 1}:
            pid = int(_fields(pid)[1])
            if pid == os.getpid():
                return True
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return False


def _cpu_s(pid: int) -> float:
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _written_bytes(pid: int | str) -> int:
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["write_bytes"])


def _own_bytes(pid: int | str) -> int:
    """Without pages of files that it maps: those can be dropped."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

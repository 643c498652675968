"""Tens of thousands of frames in one run: whether memory, open files, disk and cost stay flat.

    python -m benchmarks.soak                  # 40,000 frames: about 20 minutes, 1 GB of disk
    python -m benchmarks.soak --frames 100000

Broker, stores and services are real, as in `benchmarks.pipeline`, whose lines it prints as it goes.
The second half of the run is compared with the first: what each frame has added. Ends with 1 if
something grew faster.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.frames import PRECOMPUTED
from benchmarks.pipeline import measured
from services.runtime.observability.logs import configure_logs

Line = Mapping[str, float]
_MAX_FILES = 16
"""Files and sockets that may be open for a moment when one looks."""
_SLACK = 1.2
"""How much more the second half may cost: caches fill in the first, and models are refitted."""
_MIN_BYTES = 2048
"""Bytes a frame below which growth is no finding: allocators take memory in steps."""


@dataclass(frozen=True)
class Growth:
    """What one quantity did in the two halves of a run.

    Attributes
    ----------
    first, second : bytes per frame; for files the most that were open, for cost the ratio to
        drawing a frame
    most : the largest `second` that counts as flat
    """

    first: float
    second: float
    most: float

    @property
    def is_flat(self) -> bool:
        """Whether the second half stayed within its bound."""
        return self.second <= self.most


def growth(lines: Sequence[Line]) -> dict[str, Growth]:
    """What each quantity of a run's windows did; the first window, which compiles, is left out.

    Parameters
    ----------
    lines : five windows or more, of equally many frames each
    """
    begin, middle, end = lines[1], lines[(len(lines) - 1) // 2], lines[-1]
    found = {}
    for name in (name for name in end if name.endswith("_mb")):
        first, second = _added(name, begin, middle), _added(name, middle, end)
        found[name] = Growth(first, second, max(_SLACK * first, _MIN_BYTES))
    early = [line for line in lines[1:] if line["frames"] <= middle["frames"]]
    late = [line for line in lines if line["frames"] > middle["frames"]]
    files = [max(line["open_files"] for line in half) for half in (early, late)]
    found["open_files"] = Growth(files[0], files[1], files[0] + _MAX_FILES)
    costs = [fmean(line["times_drawing"] for line in half) for half in (early, late)]
    found["times_drawing"] = Growth(costs[0], costs[1], _SLACK * costs[0])
    return found


def _added(name: str, before: Line, after: Line) -> float:
    """Bytes per frame between two looks at a size in MB."""
    return (after[name] - before[name]) * (1 << 20) / (after["frames"] - before["frames"])


def main() -> None:
    """Run, compare the halves, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--window", type=int, default=2000, help="frames between two looks")
    options = parser.parse_args()
    run = argparse.Namespace(**vars(options), rate=0.0, embedder=PRECOMPUTED, apart=False)
    configure_logs(level="WARNING")
    figures = asyncio.run(measured(run))
    windows = figures["windows"]
    assert isinstance(windows, list)
    found = growth(windows)
    summary = {name: figures[name] for name in ("frames", "all_done_with")}
    printed = {name: vars(item) | {"flat": item.is_flat} for name, item in found.items()}
    print(json.dumps({**summary, **printed}, indent=2))  # noqa: T201
    sys.exit(0 if all(item.is_flat for item in found.values()) else 1)


if __name__ == "__main__":
    main()

"""What a long run costs, so many frames at a time."""

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.metering import sizes
from benchmarks.processes import Processes


class Windows:
    """Cost per frame, so many frames at a time: whether it stays flat."""

    def __init__(self, size: int, folder: Path, processes: Processes) -> None:
        self.lines: list[dict[str, float]] = []
        self.drawn_s = 0.0
        """CPU seconds for drawing all frames so far."""
        self._size = size
        self._folder = folder
        self._processes = processes
        self._frames, self._at, self._cpu = 0, time.monotonic(), processes.cpu_s()
        self._consumed = self._events()
        self._drawing_s = 0.0

    def note(self, frames: int, drawing_s: float) -> None:
        """So many frames are published, and all but a few done with.

        Parameters
        ----------
        drawing_s : CPU seconds since the last time for drawing frames. That is the same work for
            each: where it takes longer, the machine was slower
        """
        self._drawing_s += drawing_s
        self.drawn_s += drawing_s
        fresh = frames - self._frames
        if fresh < self._size:
            return
        processes = self._processes
        now, cpu, events = time.monotonic(), processes.cpu_s(), self._events()
        line = {
            "frames": frames,
            "frames_per_s": round(fresh / (now - self._at), 1),
            "cpu_s_per_frame": round((cpu - self._cpu) / fresh, 4),
            "drawing_s_per_frame": round(self._drawing_s / fresh, 5),
            "times_drawing": round((cpu - self._cpu) / self._drawing_s, 2),
            "events_per_frame": round((events - self._consumed) / fresh, 1),
            **processes.megabytes(),
            "open_files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208  # names are enough
            # To look at each image would take longer with every line.
            "disk_mb": sum(sizes(self._folder, but="blobs").values()) >> 20,
        }
        tell(**line)
        self.lines.append(line)
        self._frames, self._at, self._cpu, self._consumed = frames, now, cpu, events
        self._drawing_s = 0.0

    def _events(self) -> float:
        return sum(self._processes.consumed().values())


def tell(**line: float) -> None:
    """How far a long run is."""
    print(json.dumps(line), file=sys.stderr, flush=True)  # noqa: T201

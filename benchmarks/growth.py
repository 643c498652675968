"""Whether a frame costs more as data grows: a long run on one data folder, in steps.

    make bench-growth                                            # 100,000 frames, ten steps
    python -m benchmarks.growth --frames 1000000 --folder /data  # hours; run again to go on

Frames, and what runs beside the services, are those of `benchmarks.pipeline --apart`, with
embeddings precomputed. A step starts all processes on the folder, waits until they have read what
they read at a start, publishes a tenth of the frames, and waits until nothing is left to do. Its
figures are a line of `growth.jsonl` in the folder, those of the start apart.
Ctrl-C ends a step early with the figures of what it published; a step that is killed is done again,
and the run goes on where the last line ends.

A frame's cost is the CPU time of all processes, broker and MongoDB included, less what drawing the
frame took. `times_drawing` divides by the latter, which is the same work for each frame: where it
stays flat and the cost does not, the machine was slower.
"""

import argparse
import asyncio
import json
import multiprocessing
import signal
import time
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.apart import running_apart
from benchmarks.frames import ANNOTATED, precomputed_embeddings
from benchmarks.metering import sizes
from benchmarks.pipeline import WITHOUT_VECTORS, Publisher, done_or_ended, ended_by_signal
from benchmarks.processes import Processes
from benchmarks.windows import Windows
from services.app.assembly import running
from services.contracts.flow import CONSUMERS
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

_STEPS = 10
_IDLE_SHARE = 0.15
"""Of a core: what all processes use that have nothing to do, at most."""
_IDLE_S = 3.0
_STARTED_S = 600.0
"""The longest wait for processes that have started."""
_LINES = "growth.jsonl"
_STORES = "stores"
Line = Mapping[str, float]


def lines_of(folder: Path) -> list[Line]:
    """The steps that were done."""
    path = folder / _LINES
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def next_frames(done: Sequence[Line], frames: int) -> range | None:
    """The frames of the next step: up to the next tenth; None if all are done."""
    first = int(done[-1]["frames"]) if done else 0
    if first >= frames:
        return None
    size = max(1, frames // _STEPS)
    return range(first, min(frames, (first // size + 1) * size))


async def idle(processes: Processes) -> None:
    """Wait until the processes do nothing: background jobs have then read all records once."""
    async with asyncio.timeout(_STARTED_S):
        used_s = inf
        while used_s > _IDLE_SHARE * _IDLE_S:
            before_s = processes.cpu_s()
            await asyncio.sleep(_IDLE_S)
            used_s = processes.cpu_s() - before_s


async def step(folder: Path, numbers: range) -> Line:
    """Publish these frames to services that start now; the figures, as of when all is done."""
    stores = folder / _STORES
    settings = Settings.model_validate({"data": stores, "http_port": 0, "metrics_port": 0})
    here = [name for name in CONSUMERS if name not in WITHOUT_VECTORS]
    began = time.monotonic()
    async with (
        running(settings, here) as app,
        running_apart(WITHOUT_VECTORS, stores) as others,
    ):
        await app.caught_up()
        started_s = time.monotonic() - began
        processes = Processes(others)
        await idle(processes)
        windows = Windows(max(1, len(numbers) // _STEPS), stores, processes)
        before, began = processes.cpu_s_by_process(), time.monotonic()
        ending = ended_by_signal()
        published = await Publisher(app, ANNOTATED, ending).publish(numbers, note=windows.note)
        await done_or_ended(app.caught_up(), ending)
        took_s, drawn_s = time.monotonic() - began, windows.drawn_s
        spent = {name: s - before[name] for name, s in processes.cpu_s_by_process().items()}
        spent["services"] -= drawn_s
        megabytes, rebuild_s = (
            processes.megabytes(),
            processes.most("gazeloop_evaluator_rebuild_seconds"),
        )
    count, cpu_s = max(1, published), sum(spent.values())
    return {
        "frames": numbers.start + published,
        "started_s": round(started_s, 1),
        "start_cpu_s": round(sum(before.values()), 1),
        "rebuild_s": rebuild_s,
        "frames_per_s": round(count / took_s, 1),
        "cpu_ms_per_frame": round(1000 * cpu_s / count, 2),
        "drawing_ms_per_frame": round(1000 * drawn_s / count, 2),
        "times_drawing": round(cpu_s / drawn_s, 2),
        **{f"{name}_ms": round(1000 * s / count, 2) for name, s in spent.items()},
        **megabytes,
        "disk_mb": sum(sizes(stores).values()) >> 20,
    }


def _do(folder: Path, numbers: range) -> None:
    """Do a step, and note its figures."""
    configure_logs(level="WARNING")
    precomputed_embeddings()
    line = asyncio.run(step(folder, numbers))
    with (folder / _LINES).open("a") as file:
        file.write(json.dumps(line) + "\n")


def summary(lines: Sequence[Line]) -> Table:
    """A row for each step, and how the last compares with the first."""
    table = Table(*lines[0])
    for line in lines:
        table.add_row(*map(str, line.values()))
    first, last = lines[0], lines[-1]
    names = ("cpu_ms_per_frame", "times_drawing")
    ratios = (f"{name}: {last[name] / first[name]:.2f}" for name in names)
    table.caption = "the last step / the first: " + ", ".join(ratios)
    return table


def main() -> None:
    """Read the options, go on, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("growth-data"), help="kept")
    parser.add_argument("--steps", type=int, default=_STEPS, help="how many to do now")
    options = parser.parse_args()
    # Ctrl-C is for the step's process; when that has noted its figures, this one prints them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(options.steps):
        numbers = next_frames(lines_of(folder), options.frames)
        if numbers is None:
            break
        # In a process of its own, so that its memory is what the step needs.
        child = multiprocessing.get_context("spawn").Process(target=_do, args=(folder, numbers))
        child.start()
        child.join()
        if child.exitcode or lines_of(folder)[-1]["frames"] < numbers.stop:
            break
    if lines := lines_of(folder):
        Console(width=200).print(summary(lines))


if __name__ == "__main__":
    main()

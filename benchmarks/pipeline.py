"""What a frame costs, and how soon it is done with: the whole pipeline on one machine.

    python -m benchmarks.pipeline --frames 10000              # embeddings precomputed
    python -m benchmarks.pipeline --frames 2000 --embedder gazeloop-small
    python -m benchmarks.pipeline --frames 3000 --rate 20     # freshness at a given load
    python -m benchmarks.pipeline --frames 10000 --apart      # services in processes of their own
    python -m benchmarks.pipeline --frames 100000 2> progress # half an hour; 3 GB of disk

Kafka, MongoDB and Qdrant Edge are real and run beside it; frames are small JPEGs, each with three
detections and two annotations. Figures are printed as JSON, one object a run; how far a long one
is, and whether it stays flat, on standard error: beside what a frame cost also what drawing it did,
which is the same work each time and tells how fast the machine was. Ctrl-C publishes no more
frames, and prints the figures of those that are published; a second one ends the run without. A run
keeps 27 kB of disk a frame until it ends.
"""

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from benchmarks.apart import running_apart
from benchmarks.frames import PRECOMPUTED, facts, precomputed_embeddings
from benchmarks.metering import Meter
from benchmarks.pair_ages import pair_ages
from benchmarks.processes import Processes
from benchmarks.stage_cpu import StageClock
from benchmarks.windows import Windows, tell
from services.app.assembly import running
from services.app.parts import App
from services.contracts.events import Event
from services.contracts.flow import CONSUMERS
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

WITHOUT_VECTORS = ("fp_miner", "evaluator")
"""Services that can run apart: Qdrant Edge belongs to one process."""
_BATCH = 64
_LOOK_EVERY = 4
"""Batches published between two looks at the lag."""
_TICK_S = 0.1
_MOST_WAITING = 2000
"""Records that may wait: enough to keep every service busy."""
_TELL_S = 10.0
"""Between two lines about what is left once all frames are published."""


def _drawn(app: App, numbers: Sequence[int]) -> tuple[list[Event], float]:
    """Facts of all these frames, and the CPU seconds that drawing them took."""
    started = time.thread_time()
    events = [event for number in numbers for event in facts(app, number)]
    return events, time.thread_time() - started


def ended_by_signal() -> asyncio.Event:
    """Set by the first Ctrl-C; the second ends the process as usual."""
    ending, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        ending.set()

    loop.add_signal_handler(signal.SIGINT, end)
    return ending


async def done_or_ended(work: Awaitable[None], ending: asyncio.Event) -> bool:
    """Whether the work was done before it was told to end."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(ending.wait())
    await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.wait((doing,))
        return False
    await doing
    return True


async def publish(
    app: App, frames: range, rate: float, windows: Windows, ending: asyncio.Event
) -> int:
    """Publish these, not faster than `rate` frames a second, and not far ahead of the services.

    Returns
    -------
    The number of the first that was not published: the range's end unless it was told to end.
    """
    started = time.monotonic()
    # At a given rate, not in bursts: what is published at once waits for itself.
    size = max(1, round(rate * _TICK_S)) if rate else _BATCH
    for done in range(0, len(frames), size):
        if ending.is_set():
            return frames.start + done
        numbers = frames[done : done + size]
        events, took_s = await asyncio.to_thread(_drawn, app, numbers)
        await app.outbox.publish(events)
        if rate:
            ahead = (done + len(numbers)) / rate - (time.monotonic() - started)
            await asyncio.sleep(max(0.0, ahead))
        elif done % (_BATCH * _LOOK_EVERY) == 0:
            while not ending.is_set() and sum((await app.lag()).values()) > _MOST_WAITING:  # noqa: ASYNC110  # brokers ring no bell
                await asyncio.sleep(0.1)
        windows.note(done + len(numbers), took_s)
    return frames.stop


class _Waiting:
    """Tells how much is left, now and then."""

    def __init__(self) -> None:
        self._sent_at = time.monotonic()

    async def look(self, lag: dict[tuple[str, str], int]) -> None:
        if time.monotonic() >= self._sent_at + _TELL_S:
            self._sent_at = time.monotonic()
            tell(waiting=sum(lag.values()))


async def measured(options: argparse.Namespace) -> dict[str, object]:
    """One run, on a folder that is thrown away."""
    asked: dict[str, object] = {"rate": options.rate, "embedder": options.embedder}
    given = {} if options.embedder == PRECOMPUTED else {"embedder": options.embedder}
    if not given:
        precomputed_embeddings()
    apart = WITHOUT_VECTORS if options.apart else ()
    here = [name for name in CONSUMERS if name not in apart]
    clock = StageClock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.model_validate(
            {"data": folder, "http_port": 0, "metrics_port": 0, **given}
        )
        async with running(settings, here) as app, running_apart(apart, folder) as others:
            processes = Processes(others)
            meter = Meter(folder, clock, processes)
            windows = Windows(options.window, folder, processes)
            ending = ended_by_signal()
            published = await publish(app, range(options.frames), options.rate, windows, ending)
            done = await done_or_ended(app.caught_up(_Waiting().look), ending)
            figures = await asyncio.to_thread(meter.read, published, app.settings)
            freshness = await asyncio.to_thread(pair_ages, BrokerAddress.of(app.settings))
            exported = {f"p{of * 100:g}_s": _ages(processes, of) for of in (0.5, 0.99)}
    return {
        "frames": published,
        **asked,
        "apart": apart,
        "all_done_with": done,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        **figures,
        "freshness_by_topics": freshness,
        "freshness_exported": exported,
        "windows": windows.lines,
    }


def _ages(processes: Processes, quantile: float) -> dict[str, float | None]:
    return processes.quantile(
        "gazeloop_freshness_seconds", ["stage"], quantile
    ) | processes.quantile("gazeloop_event_age_seconds", ["service", "topic"], quantile)


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.0, help="frames per second; 0: unlimited")
    parser.add_argument("--embedder", default=PRECOMPUTED)
    parser.add_argument("--window", type=int, default=1000, help="frames between two looks")
    parser.add_argument(
        "--apart",
        action="store_true",
        help="run services in processes of their own, as in production, but for embedder and"
        " retriever, which share Qdrant Edge here",
    )
    options = parser.parse_args()
    configure_logs(level="WARNING")
    figures = asyncio.run(measured(options))
    print(json.dumps(figures, indent=2))  # noqa: T201  # the benchmark's output


if __name__ == "__main__":
    main()

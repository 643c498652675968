"""What a frame costs, and how soon it is done with: the whole pipeline on one machine.

    python -m benchmarks.pipeline --frames 10000              # embeddings precomputed
    python -m benchmarks.pipeline --frames 10000 --fleet      # one frame in 50 is annotated
    python -m benchmarks.pipeline --frames 2000 --embedder gazeloop-small
    python -m benchmarks.pipeline --frames 3000 --rate 20 --grown  # freshness at a given load
    python -m benchmarks.pipeline --frames 10000 --apart      # services in processes of their own
    python -m benchmarks.pipeline --frames 100000 2> progress # half an hour; 3 GB of disk

Kafka, MongoDB and Qdrant Edge are real and run beside it; frames are small JPEGs, each with three
detections and two annotations. What the product costs and what the benchmark itself does are apart.
Some frames go first and do not count: they let code be compiled. Figures are printed as JSON, one
object a run; how far a long one is, and whether it stays flat, on standard error: beside what a
frame cost also what drawing it did, which is the same work each time and tells how fast the machine
was. Ctrl-C publishes no more frames, and prints the figures of those that are published; a second
one ends the run without. A run keeps 27 kB of disk a frame until it ends.
"""

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.apart import running_apart
from benchmarks.frames import (
    ANNOTATED,
    FLEET,
    PICTURE_SIZE,
    PRECOMPUTED,
    Stream,
    facts,
    picture,
    precomputed_embeddings,
)
from benchmarks.metering import DRAWING, SENDING, STORING, WATCHING, Meter
from benchmarks.pair_ages import pair_ages
from benchmarks.pictures import stored_picture
from benchmarks.processes import Processes
from benchmarks.stage_cpu import StageClock, counted_as
from benchmarks.windows import Windows, tell
from services.app.assembly import running
from services.app.parts import App
from services.contracts.events import Event, Image
from services.contracts.flow import CONSUMERS
from services.domain.shortlists import epochs
from services.runtime.garbage import spare_long_lived_objects
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

T = TypeVar("T")
WITHOUT_VECTORS = ("fp_miner", "evaluator")
"""Services that can run apart: Qdrant Edge belongs to one process."""
_BATCH = 64
_LOOK_EVERY = 4
"""Batches published between two looks at the lag."""
_TICK_S = 0.1
_MAX_WAITING = 2000
"""Records that may wait: enough to keep every service busy."""
_TELL_S = 10.0
"""Between two lines about what is left once all frames are published."""


async def _drawn(app: App, stream: Stream, numbers: Sequence[int]) -> tuple[list[Event], float]:
    """Facts of all these frames, and the CPU seconds that drawing them took."""

    def stored() -> list[Image]:
        return [stored_picture(app.stores, content, PICTURE_SIZE) for content in contents]

    def stated() -> list[Event]:
        named = zip(numbers, images, strict=True)
        return [event for number, image in named for event in facts(number, image, stream)]

    with counted_as(DRAWING):
        contents, drawing_s = await asyncio.to_thread(_timed, lambda: [*map(picture, numbers)])
    with counted_as(STORING):
        images, storing_s = await asyncio.to_thread(_timed, stored)
    with counted_as(DRAWING):
        events, stating_s = await asyncio.to_thread(_timed, stated)
    return events, drawing_s + storing_s + stating_s


def _timed(work: Callable[[], list[T]]) -> tuple[list[T], float]:
    """What the work gives, and the CPU seconds that it took."""
    started = time.thread_time()
    return work(), time.thread_time() - started


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


def _noted_nowhere(published: int, drawing_s: float) -> None:
    """The frames that go first are not measured."""


class Publisher:
    """Publishes the frames of a stream, until it is told to end."""

    def __init__(self, app: App, stream: Stream, ending: asyncio.Event) -> None:
        self._app = app
        self._stream = stream
        self._ending = ending

    async def publish(
        self,
        numbers: range,
        rate: float = 0.0,
        note: Callable[[int, float], None] = _noted_nowhere,
    ) -> int:
        """Publish all, not faster than `rate` frames a second, and not far ahead of the services.

        Parameters
        ----------
        note : is handed how many are published, and the CPU seconds of drawing the last of them

        Returns
        -------
        How many were published until it was told to end.
        """
        started = time.monotonic()
        # At a given rate, not in bursts: what is published at once waits for itself.
        size = max(1, round(rate * _TICK_S)) if rate else _BATCH
        for first in range(0, len(numbers), size):
            if self._ending.is_set():
                return first
            batch = numbers[first : first + size]
            events, took_s = await _drawn(self._app, self._stream, batch)
            with counted_as(SENDING):
                await self._app.outbox.publish(events)
            if rate:
                ahead = (first + len(batch)) / rate - (time.monotonic() - started)
                await asyncio.sleep(max(0.0, ahead))
            elif first % (_BATCH * _LOOK_EVERY) == 0:
                await self._caught_up_almost()
            note(first + len(batch), took_s)
        return len(numbers)

    async def _caught_up_almost(self) -> None:
        while not self._ending.is_set() and sum((await self._app.lag()).values()) > _MAX_WAITING:  # noqa: ASYNC110  # brokers ring no bell
            await asyncio.sleep(0.1)


class _Waiting:
    """Tells how much is left, now and then."""

    def __init__(self) -> None:
        self._sent_at = time.monotonic()

    async def look(self, lag: dict[tuple[str, str], int]) -> None:
        if time.monotonic() >= self._sent_at + _TELL_S:
            self._sent_at = time.monotonic()
            tell(waiting=sum(lag.values()))


def _has_grown(sizes: Sequence[epochs.Size]) -> bool:
    """In place of the rule by which frames are held back while much is new."""
    return bool(sizes)


async def measured(options: argparse.Namespace) -> dict[str, object]:
    """One run, on a folder that is thrown away."""
    asked: dict[str, object] = {
        "warm": options.warm,
        "fleet": options.fleet,
        "grown": options.grown,
        "rate": options.rate,
        "embedder": options.embedder,
    }
    overrides = {} if options.embedder == PRECOMPUTED else {"embedder": options.embedder}
    if not overrides:
        precomputed_embeddings()
    if options.grown:
        epochs.is_settled = _has_grown
    apart = WITHOUT_VECTORS if options.apart else ()
    here = [name for name in CONSUMERS if name not in apart]
    clock = StageClock()
    stream = FLEET if options.fleet else ANNOTATED
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.model_validate(
            {"data": folder, "http_port": 0, "metrics_port": 0, **overrides}
        )
        async with running(settings, here) as app, running_apart(apart, folder) as others:
            with counted_as(WATCHING):
                ending = ended_by_signal()
                publisher = Publisher(app, stream, ending)
                spare_long_lived_objects()  # as `gazeloop up` does
                numbers = range(options.warm + options.frames)
                await publisher.publish(numbers[: options.warm])
                await done_or_ended(app.caught_up(), ending)
                processes, since = Processes(others), time.time()
                meter = Meter(folder, clock, processes)
                windows = Windows(options.window, folder, processes)
                counted = numbers[options.warm :]
                published = await publisher.publish(counted, options.rate, windows.note)
                done = await done_or_ended(app.caught_up(_Waiting().look), ending)
                figures = await asyncio.to_thread(meter.read, published, app.settings)
            freshness = await asyncio.to_thread(pair_ages, BrokerAddress.of(app.settings), since)
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
    parser.add_argument("--warm", type=int, default=500, help="frames that go before those")
    parser.add_argument(
        "--fleet",
        action="store_true",
        help="eight detections of thirty categories a frame, and one frame in fifty annotated",
    )
    parser.add_argument(
        "--grown",
        action="store_true",
        help="list frames at once, as a stream does after twenty minutes: while the haystack grows"
        " by 5%% a minute, most of the budget is held back, and needles wait for that",
    )
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

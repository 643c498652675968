"""What traces cost: CPU time of an event with traces beside one without.

    python -m benchmarks.traces

An event is taken by a service's runner, and another is sent for it; the step between them does
nothing, and no broker slows it down, so that what traces add is seen to a part in a thousand.
Pieces with traces and without alternate. Counted is the processors' time of this process, with all
its threads: the exporter's too. The collector is a process of its own; it reads and forgets.

What is added is then shown as a share of what an event takes the services in the pipeline with
embeddings precomputed, of which the broker's and the stores' time is no part: in the same run, with
traces off.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.frames import PICTURE_SIZE, facts, picture, precomputed_embeddings
from benchmarks.pictures import stored_picture
from benchmarks.processes import Processes
from services.app.assembly import running
from services.contracts.codec import encode
from services.contracts.events import Detection, Event, PredictionsMade
from services.contracts.identity import FrameId
from services.contracts.topics import topic_of
from services.runtime.clock import SystemClock
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.observability.logs import configure_logs
from services.runtime.observability.trace_export import exporting
from services.runtime.observability.traces import OFF, Headers, ServiceTraces
from services.runtime.settings import Settings

_SHARES = {"default share": 0.05, "every frame": 1.0}
_BATCH = 64
_BATCHES = 10
_T95 = 1.96
_COLLECTOR = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def collector() -> Iterator[str]:
    """A collector that forgets, in a process of its own; its address."""
    command = [sys.executable, "-c", _COLLECTOR]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # ours
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1/traces"
        finally:
            process.terminate()


class Passing:
    """Sends an event for each that it takes, to nobody."""

    def __init__(self, traces: ServiceTraces) -> None:
        self.headers: list[Headers] = []
        self._traces = traces

    async def run(self, events: Sequence[Event]) -> None:
        """Send them on."""
        await self.publish(events)

    async def publish(self, events: Sequence[Event]) -> None:
        """As the outbox does, without a broker."""
        with self._traces.sending(events) as headers:
            self.headers = headers


class Service:
    """A service that does nothing, with traces or without.

    Parameters
    ----------
    door : begins the traces of the share of the frames that is traced
    """

    def __init__(self, traces: ServiceTraces, door: ServiceTraces) -> None:
        passing = Passing(traces)
        self._runner = Runner("bench", passing, passing, Settings(), SystemClock(), traces=traces)
        self._batches = [_records(door, number) for number in range(_BATCHES)]

    async def cpu_us_per_event(self) -> float:
        """Of all its batches, once."""
        started = time.process_time()
        for records in self._batches:
            await self._runner.process(records)
        return (time.process_time() - started) * 1e6 / _BATCHES / _BATCH


def _records(door: ServiceTraces, number: int) -> list[Record]:
    events = [_predictions(number * _BATCH + item) for item in range(_BATCH)]
    with door.sending(events) as headers:
        pass
    return [
        Record(topic_of(event).name, 0, number * _BATCH + place, b"k", encode(event), None, carried)
        for place, (event, carried) in enumerate(zip(events, headers, strict=True))
    ]


def _predictions(number: int) -> PredictionsMade:
    box = (10.0, 10.0, 20.0, 20.0)
    detections = [Detection(category="stop sign", score=0.5, bbox=box) for _ in range(3)]
    frame_id = FrameId(f"bench-{number:08d}")
    return PredictionsMade(
        frame_id=frame_id, detector="bench", version="1", detections=tuple(detections)
    )


async def added_us(share: float, pairs: int) -> tuple[list[float], float]:
    """What traces add to an event, pair by pair, and what is done for them where they are off."""
    with collector() as url, exporting(Settings(traces=url, trace_share=share)) as traces:
        door = traces.of("door")
        traced, untraced = Service(traces.of("bench"), door), Service(OFF, door)
        added = []
        for pair in range(-2, pairs):  # the first ones warm up
            first, second = (traced, untraced) if pair % 2 else (untraced, traced)
            took = {first: await first.cpu_us_per_event()}
            took[second] = await second.cpu_us_per_event()
            if pair >= 0:
                added.append(took[traced] - took[untraced])
    return added, _off_us()


def _off_us(batches: int = 5000) -> float:
    """Of what is done where traces are off, by event; code without traces does none of it."""
    nothing: Sequence[Record] = []
    started = time.process_time()
    for _ in range(batches):
        with OFF.batch(nothing), OFF.within([]), OFF.sending([]):
            pass
    return (time.process_time() - started) * 1e6 / batches / _BATCH


async def pipeline_us(frames: int) -> float:
    """What an event takes the services of the embedded stack, without traces."""
    precomputed_embeddings()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate({"data": folder, "http_port": 0, "metrics_port": 0})
        async with running(settings) as app:
            images = [
                stored_picture(app.stores, picture(number), PICTURE_SIZE)
                for number in range(frames)
            ]
            made = [event for number, image in enumerate(images) for event in facts(number, image)]
            started = time.process_time()
            for first in range(0, len(made), _BATCH):
                await app.outbox.publish(made[first : first + _BATCH])
            await app.caught_up()
            return (time.process_time() - started) * 1e6 / sum(Processes().consumed().values())


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=600, help="of the pipeline's run")
    parser.add_argument("--pairs", type=int, default=300)
    options = parser.parse_args()
    configure_logs(level="ERROR")
    event_us = asyncio.run(pipeline_us(options.frames))
    print(f"pipeline, traces off: {event_us:.0f} us of CPU per event")  # noqa: T201
    for name, share in _SHARES.items():
        added, off = asyncio.run(added_us(share, options.pairs))
        mean, spread = statistics.mean(added), statistics.stdev(added)
        interval = _T95 * spread / len(added) ** 0.5
        line = {
            "traced": name,
            "added_us_per_event": f"{mean:.2f} +- {interval:.2f}",
            "share_of_an_event": f"{mean / event_us:.2%} +- {interval / event_us:.2%}",
            "off_adds": f"{off / event_us:.3%}",
        }
        print(json.dumps(line))  # noqa: T201


if __name__ == "__main__":
    main()

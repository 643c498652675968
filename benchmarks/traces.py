"""What traces cost: the pipeline without them, with the default share, and with every frame traced.

    python -m benchmarks.traces --frames 600 --rounds 3

Each round is a run of `benchmarks.pipeline` of its own, in turn, so that what else the machine does
meets all alike. The collector is a process of its own, as it would be; it reads and forgets.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SHARES = {"off": "", "default": "0.05", "every frame": "1"}
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


def cpu_s_per_frame(frames: int, url: str, share: str) -> float:
    """CPU seconds of all processes of one run, by frame."""
    given = {"GAZELOOP_TRACES": url, "GAZELOOP_TRACE_SHARE": share} if share else {}
    command = [sys.executable, "-m", "benchmarks.pipeline", "--frames", str(frames)]
    done = subprocess.run(  # noqa: S603  # ours
        command, env=os.environ | given, capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout)
    return float(figures["cpu_s_per_frame"])


def main() -> None:
    """Measure in turn, and print medians beside the run without traces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=_SHARES, nargs="*", default=list(_SHARES))
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in options.only}
    with collector() as url:
        for _ in range(options.rounds):
            for name, each in taken.items():
                each.append(cpu_s_per_frame(options.frames, url, _SHARES[name]))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    base = medians.get("off", next(iter(medians.values())))
    for name, median in medians.items():
        print(f"{name:<12} {median * 1000:6.2f} ms  {median / base:6.3f}  {taken[name]}")  # noqa: T201


if __name__ == "__main__":
    main()

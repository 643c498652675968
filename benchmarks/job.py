"""The job that a newcomer compares: `gazeloop mine coco` and FiftyOne's way to the same, in turn.

    python -m benchmarks.job --coco gt.json --predictions results.json --images DIR
    python -m benchmarks.job --traffic-lights

Both start from nothing on the same images, and end with the last list of similar regions; broker
and stores are started, and their time counts. FiftyOne loads the data set, evaluates with mAP,
embeds the same regions by the same network, indexes the vectors and searches for each false
positive (`benchmarks.job_fiftyone`). The fastest round counts: other load only ever adds. CPU is of
all processes of a way.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from sysconfig import get_path

from rich.console import Console
from rich.table import Table

from benchmarks.job_files import JobFiles, street_photo_files, traffic_light_files
from benchmarks.processes import Processes
from services.embedder.models.backbones import backbone_named
from services.runtime.embedded.mongod import Mongod
from services.runtime.settings import Settings

_ROOT = Path(__file__).parents[1]
_PEER = _ROOT / ".fiftyone" / "bin" / "python"
_STAGES = {
    "starting": "imports, and reading the data set",
    "publishing": "start of broker, stores and services",
    "embedding": "publishing",
    "computing": "embedding, matching and retrieval",
    "done": "report",
}
"""The first word of a stage that `mine` prints, and what has ended with it."""
_LOGGED = {
    "batch_mined": "the last frame is matched",
    "batch_embedded": "the last region is embedded",
    "shortlists_published": "the last shortlist is published",
}
_STAGE = re.compile(r" *\d+ s  (\w+)")

Steps = Mapping[str, float]
"""Seconds by step, in order."""
Figures = Mapping[str, object]
"""Other figures by name."""


class JobFailedError(Exception):
    """A way has failed; what it printed is the message."""


@dataclass(frozen=True)
class Run:
    """One way, once.

    Attributes
    ----------
    cpu_s : of all its processes
    """

    seconds: float
    cpu_s: float
    steps: Steps
    others: Figures


def _cpu_s_of_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _measured(work: Callable[[Path], tuple[Steps, Figures]]) -> Run:
    """Run one way in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        started, cpu = time.perf_counter(), _cpu_s_of_children()
        steps, others = work(Path(name))
        seconds = time.perf_counter() - started
        return Run(seconds, _cpu_s_of_children() - cpu, steps, others)


def gazeloop(files: JobFiles, folder: Path) -> tuple[Steps, Figures]:
    """`mine coco`; its steps end when it prints the next stage."""
    command = [sys.executable, "-m", "services.cli.main", "--data", str(folder / "data")]
    command += ["mine", "coco", "--images", str(files.images), "--montages", "0"]
    command += ["--ground-truth", str(files.coco), "--predictions", str(files.predictions)]
    command += ["--detector", "detector@1"]
    printed, ends, began = [], {}, time.time()
    cpu: Figures = {}
    with subprocess.Popen(  # noqa: S603  # our own command
        command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            printed.append(line)
            match = _STAGE.match(line)
            if match is None or match[1] not in _STAGES:
                continue
            ends[_STAGES[match[1]]] = time.time() - began
            if match[1] == "done":
                spent = Processes().cpu_s_of_others().items()
                cpu = {f"CPU of {name}": seconds for name, seconds in spent}
    if process.returncode:
        raise JobFailedError("".join(printed))
    ends["end of services, stores and broker"] = time.time() - began
    logged = _last_logged(folder / "data" / "logs" / "gazeloop.log", began)
    return _differences(ends), {**logged, **cpu}


def _differences(ends: Steps) -> Steps:
    """Seconds from each end to the next."""
    before = [0.0, *ends.values()]
    return {name: end - start for (name, end), start in zip(ends.items(), before, strict=False)}


def _last_logged(log: Path, began: float) -> Figures:
    """Seconds after the start until the last batch of each service."""
    last: dict[str, object] = {}
    for line in log.read_text().splitlines():
        if not line.startswith("{"):
            continue
        record = json.loads(line)
        if record["event"] in _LOGGED:
            at = datetime.fromisoformat(record["timestamp"]).timestamp()
            last[_LOGGED[record["event"]]] = at - began
    return last


def fiftyone(files: JobFiles, side: int, folder: Path) -> tuple[Steps, Figures]:
    """FiftyOne's way, on a MongoDB of its own."""
    settings = Settings()
    weights = backbone_named(settings.embedder).shipped
    options = {
        "coco": files.coco,
        "predictions": files.predictions,
        "images": files.images,
        "weights": weights,
        "torch-packages": get_path("purelib"),
        "side": side,
        "batch": settings.embed_batch,
        "workers": settings.torch_threads,
        "listed": settings.shortlist_size,
        "score": settings.region_score,
    }
    command = [str(_PEER), str(_ROOT / "benchmarks" / "job_fiftyone.py")]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    started = time.perf_counter()
    with Mongod(folder / "mongodb") as mongod:
        up = time.perf_counter()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "FIFTYONE_DATABASE_URI": mongod.url,
            "FIFTYONE_DATABASE_VALIDATION": "false",
            "FIFTYONE_DO_NOT_TRACK": "true",
            # Where others compute too, torch spends more on active waiting than on the network.
            "OMP_WAIT_POLICY": "passive",
        }
        done = subprocess.run(  # noqa: S603  # our own command
            command, env=environment, check=False, capture_output=True, text=True, cwd=folder
        )
        ended = time.perf_counter()
    if done.returncode:
        raise JobFailedError(done.stderr)
    answer = json.loads(done.stdout.splitlines()[-1])
    steps = {"start of MongoDB": up - started, **answer.pop("steps")}
    steps["everything else"] = ended - started - sum(steps.values())
    return steps, answer


def table_of(title: str, run: Run) -> Table:
    """A row per step, then what else there is to know."""
    table = Table(title=title)
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for name, seconds in run.steps.items():
        table.add_row(name, f"{seconds:.1f}")
    table.add_section()
    table.add_row("all", f"{run.seconds:.1f}")
    table.add_row("CPU", f"{run.cpu_s:.1f}")
    table.add_section()
    for name, value in run.others.items():
        table.add_row(name, f"{value:.3g}" if isinstance(value, float) else str(value))
    return table


def fastest(runs: Sequence[Run]) -> Run:
    """The run of the least time."""
    return min(runs, key=lambda run: run.seconds)


def measured(
    ways: Mapping[str, Callable[[Path], tuple[Steps, Figures]]], rounds: int, out: Console
) -> dict[str, Run]:
    """The fastest run of each way; the ways take turns."""
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, work in ways.items():
            load = os.getloadavg()[0]
            run = _measured(work)
            runs[name].append(run)
            out.print(
                f"round {number}: {name} {run.seconds:.1f} s, CPU {run.cpu_s:.1f} s,"
                f" load before it {load:.1f}"
            )
    return {name: fastest(found) for name, found in runs.items()}


def files_of(options: argparse.Namespace, folder: Path) -> JobFiles:
    """The files in the options; what is made is written to the folder."""
    if options.coco:
        chosen = (options.coco, options.predictions, options.images)
        return JobFiles(*(path.resolve() for path in chosen))
    return traffic_light_files(folder) if options.traffic_lights else street_photo_files()


def main(arguments: Iterable[str] | None = None) -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coco", type=Path, help="ground truth; default: the street photos'")
    parser.add_argument("--predictions", type=Path, help="COCO results of its images")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--traffic-lights", action="store_true", help="599 photos instead")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--side", type=int, default=224, help="pixels of a patch in FiftyOne; 224: its model zoo's"
    )
    options = parser.parse_args(arguments)
    out = Console(width=max(Console().width, 100))
    with tempfile.TemporaryDirectory() as folder:
        files = files_of(options, Path(folder))
        ways = {
            "gazeloop mine coco": partial(gazeloop, files),
            "FiftyOne": partial(fiftyone, files, options.side),
        }
        product, peer = measured(ways, options.rounds, out).items()
    for name, run in (product, peer):
        out.print(table_of(name, run))
    seconds = product[1].seconds / peer[1].seconds
    cpu = product[1].cpu_s / peer[1].cpu_s
    out.print(f"Gazeloop's share of FiftyOne's time: {seconds:.2f}; of its CPU: {cpu:.2f}")


if __name__ == "__main__":
    main()

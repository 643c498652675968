"""The demo as a newcomer runs it, without a terminal: stopped half-way, then run to its end."""

import asyncio
import contextlib
import io
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from services.runtime.embedded.stack import EmbeddedStack
from services.runtime.settings import Settings
from tests.e2e.command_line import GAZELOOP, ROOT, Done, environment, gazeloop
from tests.e2e.erasing import Erased, erased, erased_despite_a_kill
from tests.e2e.undoing import Content, changed_despite_kills

DETECTOR = "survey-detector@1.0"
DRIVES, FRAMES = 16, 8
DEADLINE_S = 500
LINES = {"audit", "dead-letters list"}
"""Commands that print a JSON object a line, because there may be very many."""
UNDO_OF_NOTHING = ("undo", "--detector", "survey-detector@1.1")
ERASE_OF_NOTHING = ("erase", "--drive", "vehicle-9:nowhere")
NUMBERS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


@dataclass
class Demo:
    data: Path
    stopped: Done
    finished: Done
    report: dict[str, Any]
    held_back: Done
    lists: dict[str, Any]
    """What lists print as JSON."""
    compared: Done
    """The detector with itself."""
    estimated: Done
    read: dict[str, tuple[int, str, str]]
    """Exit code, standard output and standard error of all other commands that read, as JSON."""
    unknown: list[Done]
    """Commands that name what nobody has stored."""


def _interrupted(data: Path, *arguments: str, at: str) -> Done:
    """Send Ctrl-C as soon as a line of the progress says `at`."""
    process = subprocess.Popen(
        [*GAZELOOP, "--data", data, *arguments],
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = ""
        for line in process.stderr:
            errors += line
            if at in line:
                process.send_signal(signal.SIGINT)
                break
        errors += process.stderr.read()
        found = process.stdout.read()
        return Done([], process.wait(DEADLINE_S), found, errors)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    data, backups = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("backups")
    arguments = ["demo", "--drives", str(DRIVES), "--frames", str(FRAMES)]
    stopped = _interrupted(data, *arguments, at="publishing")
    finished = gazeloop(data, *arguments)
    with EmbeddedStack(Settings(data=data)):  # so that neither command starts its own
        report = gazeloop(data, "report", "--json")
        held_back = gazeloop(data, "shortlists", "held-back", "--most", "3")
        lists = {what: gazeloop(data, what, "list", "--json") for what in ("needles", "shortlists")}
        compared = gazeloop(data, "compare", DETECTOR, DETECTOR)
        estimated = _estimated(data)
        backup = gazeloop(data, "backup", str(backups))
        frame_id = orjson.loads(lists["needles"].stdout)[0]["frame_id"]
        read = _read_as_json(data, frame_id, str(backups))
        unknown = [gazeloop(data, *words) for words in (UNDO_OF_NOTHING, ERASE_OF_NOTHING)]
    assert report.returncode == 0, report.stderr
    assert backup.returncode == 0, backup.stderr
    listed = {what: orjson.loads(done.stdout) for what, done in lists.items()}
    printed = orjson.loads(report.stdout)
    return Demo(
        data, stopped, finished, printed, held_back, listed, compared, estimated, read, unknown
    )


def _estimated(data: Path) -> Done:
    """Figures of the haystack, from frames drawn by chance."""
    drawn = gazeloop(
        *(data, "sample", "draw", "--detector", DETECTOR, "--frames", "70", "--campaign", "june")
    )
    (data / "june.json").write_text(drawn.stdout)
    return gazeloop(data, "sample", "estimate", data / "june.json", "--json")


def _read_as_json(data: Path, frame_id: str, backups: str) -> dict[str, tuple[int, str, str]]:
    commands = [
        *(["compare", DETECTOR, DETECTOR], ["gate", DETECTOR, DETECTOR, "--no-worse-than", "1"]),
        *(["families"], ["label-errors"], ["shortlists", "held-back"], ["categories", "show"]),
        *(["frames", "show", frame_id], ["frames", "not-counted"], ["questions", "list"]),
        *(["models", "list"], ["dead-letters", "list"], ["tokens", "list"], ["audit"]),
        *(["status"], ["settings"], ["imports", "list"], ["retention", "show"]),
        *(["backup", "list", backups], ["backup", "verify", backups]),
    ]
    script = Path(__file__).with_name("reading_as_json.py")
    done = subprocess.run(
        [sys.executable, script, data, orjson.dumps(commands)],
        env=environment(),
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    found: dict[str, tuple[int, str, str]] = orjson.loads(done.stdout)
    return found


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(demo: Demo) -> None:
    assert demo.stopped.returncode == 130, demo.stopped.stderr
    assert "Nothing is lost: run" in demo.stopped.stderr
    assert "Traceback" not in demo.stopped.stdout + demo.stopped.stderr


def test_the_second_run_ends_well_and_says_what_it_found(demo: Demo) -> None:
    assert demo.finished.returncode == 0, demo.finished.stdout + demo.finished.stderr
    for words in ("needles", "Mean average precision", "order", "precision", "shortlist yield"):
        assert words in demo.finished.stdout
    assert "Lost" not in demo.finished.stdout


def test_what_nobody_has_stored_is_neither_undone_nor_erased(demo: Demo) -> None:
    undone, erased_drive = demo.unknown
    assert (undone.returncode, erased_drive.returncode) == (1, 1)
    assert "no predictions of survey-detector@1.1 are stored" in undone.stderr
    assert "no frame of drive 'vehicle-9:nowhere' is known" in erased_drive.stderr


def test_progress_comes_in_few_plain_lines(demo: Demo) -> None:
    progress = [line for line in demo.finished.stderr.splitlines() if "published" in line]
    assert progress
    assert len(progress) < DEADLINE_S / 2
    assert "\x1b" not in demo.finished.stdout + demo.finished.stderr
    assert "embedded" not in demo.finished.stdout  # it has the results alone


def test_nothing_is_lost_and_nothing_is_counted_twice(demo: Demo) -> None:
    frames = DRIVES * FRAMES
    counts = demo.report["counts"]
    assert (counts["frames"], counts["predictions"], counts["ground_truth"]) == (frames,) * 3
    assert counts["dead_letters"] == 0
    assert counts["needles"] == sum(demo.report["needles_by_error_type"].values()) > 0
    assert demo.report["error_costs"]["classification"] >= 0
    assert demo.report["error_costs"]["false_positives"] > 0
    assert 0 < counts["shortlists"] <= counts["needles"]


def test_the_report_has_what_scripts_read(demo: Demo) -> None:
    report = demo.report
    assert set(report["map"]) == {"all", "R", "H", "S", "H-S"}
    for numbers in report["map"].values():
        assert list(numbers) == NUMBERS
    assert report["order_holds"] in (True, False)
    assert report["operating"]["score"] == 0.5
    operating = report["operating"]
    for name in ("precision", "recall", "f1", "mean_iou"):
        assert 0 < operating[name] < 1
    for name in ("true_positives", "false_positives", "false_negatives"):
        assert operating[name] > 0
    assert {"yield", "random_yield", "lift"} <= set(report["shortlist"])


def test_map_is_what_pycocotools_says_of_the_same_files(demo: Demo) -> None:
    survey = demo.data / "survey"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(survey / "ground_truth.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(survey / "detections.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = demo.report["map"]["all"]
    expected = [None if value == -1 else pytest.approx(value) for value in evaluation.stats]
    assert [numbers[name] for name in NUMBERS] == expected


def test_retrieval_beats_a_random_draw(demo: Demo) -> None:
    assert demo.report["shortlist"]["lift"] > 1.1


def test_budgets_say_what_they_hold_back(demo: Demo) -> None:
    assert demo.held_back.returncode == 0, demo.held_back.stderr
    assert "held back" in demo.held_back.stdout
    assert "haystack" in demo.held_back.stdout


def test_lists_print_json_alone_and_agree(demo: Demo) -> None:
    candidates = {needle["needle_id"]: needle["candidates"] for needle in demo.lists["needles"]}
    listed = {item["needle"]["needle_id"]: item["frames"] for item in demo.lists["shortlists"]}

    assert {needle_id: len(frames) for needle_id, frames in listed.items()} == {
        needle_id: count for needle_id, count in candidates.items() if count
    }
    assert len(listed) == demo.report["counts"]["shortlists"]


def test_every_command_that_reads_prints_json_alone(demo: Demo) -> None:
    assert len(demo.read) == 19
    for command, (code, printed, errors) in demo.read.items():
        assert code == 0, f"{command}: {errors}"
        for text in printed.splitlines() if command in LINES else [printed]:
            orjson.loads(text)


def test_a_version_compared_with_itself_changed_nothing(demo: Demo) -> None:
    assert demo.compared.returncode == 0, demo.compared.stderr
    assert f"{DETECTOR} fixes 0 " in demo.compared.stdout
    assert "Both versions fail alike" in demo.compared.stdout


def test_figures_of_the_haystack_are_estimated_from_drawn_frames(demo: Demo) -> None:
    assert demo.estimated.returncode == 0, demo.estimated.stderr
    estimates = orjson.loads(demo.estimated.stdout)
    # All frames of the demo are annotated, so the naive figure is the true one.
    low, high = estimates["precision"]["interval"]
    assert low - 0.1 < estimates["precision"]["naive"] < high + 0.1
    assert estimates["map"]["naive"] == pytest.approx(demo.report["map"]["H"]["AP"])


def test_there_is_a_montage_for_each_shortlist_up_to_the_cap(demo: Demo) -> None:
    montages = sorted((demo.data / "montages").glob("*.png"))
    assert len(montages) == min(demo.report["counts"]["shortlists"], 24)
    with Image.open(montages[0]) as sheet:
        assert sheet.width > 1500


@pytest.fixture(scope="module")
def erasure(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Erased]:
    """A copy of the data folder, of which a frame is erased while all services run."""
    data = tmp_path_factory.mktemp("erased") / "data"
    shutil.copytree(demo.data, data)
    return data, asyncio.run(erased(data))


def test_an_erased_frame_leaves_no_trace(erasure: tuple[Path, Erased]) -> None:
    _, done = erasure
    everywhere = {"frames", "predictions", "embeddings", "matches", "needles", "revisions"}
    assert everywhere <= set(done.before.stored)
    assert done.before.listed > 0
    assert done.answer["counts"]["frames"] == 1  # type: ignore[index]  # JSON
    assert (done.after.stored, done.after.files) == ([], [])
    assert (done.after.vectors, done.after.listed) == (0, 0)
    assert done.hashed
    noted = done.audited.index(("erased", "ada", "frames"))
    assert ("copy_left", "ada", "Kafka's log") in done.audited[noted:]


def test_metrics_forget_an_erased_frame(erasure: tuple[Path, Erased]) -> None:
    _, done = erasure
    assert done.after.shown == done.before.shown - 1


def test_events_of_an_erased_frame_that_come_again_are_dropped_and_counted(
    erasure: tuple[Path, Erased],
) -> None:
    _, done = erasure
    assert done.repeated == done.after
    assert done.dropped >= 5  # its image and predictions at two services, its ground truth at one


def test_a_drive_is_erased_where_no_service_runs(erasure: tuple[Path, Erased]) -> None:
    data, done = erasure
    found = gazeloop(data, "erase", "--drive", done.drive_id, "--reason", "request 18")
    assert found.returncode == 0, found.stderr
    assert f"{FRAMES - 1} frames are erased" in found.stdout
    assert "has yet to erase" not in found.stdout


def test_an_erasure_that_is_killed_beside_services_leaves_no_trace(
    demo: Demo, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(demo.data, data)

    done = asyncio.run(erased_despite_a_kill(data))
    shutil.rmtree(data)

    assert (done.killed, done.finished) == (-signal.SIGKILL, 0)
    assert done.awaited == {}
    assert {
        frame: (traces.stored, traces.files) for frame, traces in done.left.items()
    } == dict.fromkeys(done.left, ([], []))
    assert {(traces.vectors, traces.listed) for traces in done.left.values()} == {(0, 0)}
    privacy = (ROOT / "docs" / "privacy.md").read_text()
    assert done.topics
    assert all(f"`{topic}`" in privacy for topic in done.topics)


def test_a_change_of_categories_and_an_undo_that_are_killed_are_finished_by_ingest(
    erasure: tuple[Path, Erased],
) -> None:
    data, _ = erasure

    ignored, done = asyncio.run(changed_despite_kills(data))

    assert ignored.exit_code == -signal.SIGKILL
    assert (ignored.before > 0, ignored.after, ignored.others > 0) == (True, 0, True)

    assert min(done.before.needles, done.before.annotated, done.before.predicted) > 0
    assert done.exit_code == -signal.SIGKILL
    assert done.after == Content(needles=0, annotated=0, predicted=0)


def test_no_process_is_left_behind(demo: Demo) -> None:
    deadline = time.monotonic() + DEADLINE_S
    left = _processes(demo.data)
    while left and time.monotonic() < deadline:
        left = _processes(demo.data)
    assert left == []


def _processes(data: Path) -> list[str]:
    """Command lines of running processes that work on this folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(data) in command:
                found.append(command)
    return found

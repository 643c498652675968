"""`gazeloop compare` and `gazeloop gate` on files."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.contracts.errors import InvalidRecord
from tests.unit.cli.test_evaluate import DETECTIONS, DOCS, EXAMPLES, GROUND_TRUTH, examples

NEW = EXAMPLES / "street-detections-2.json"


def command(name: str, *options: str | Path) -> Result:
    files = [DETECTIONS, NEW, "--ground-truth", GROUND_TRUTH]
    return CliRunner().invoke(app, [name, *map(str, [*files, *options])])


@pytest.mark.parametrize(("line", "shown"), [*examples(DOCS / "compare-versions.md")])
def test_examples_of_the_page_print_what_it_shows(
    line: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.stderr
    assert [text for text in done.stdout.splitlines() if text in shown] == shown


def test_json_has_the_frames_of_every_family() -> None:
    report = json.loads(command("compare", "--json").stdout)
    assert report["summary"] == {"fixed": 1, "better": 0, "same": 10, "worse": 0, "broken": 1}
    fixed, broken = report["families"][:2]
    assert (fixed["category"], fixed["error_type"], fixed["old"]) == ("vehicle", "background", 25)
    assert len(fixed["improved_frames"]) == 12
    # The version keeps them, with low scores.
    difference = report["categories"]["vehicle"]["difference"]
    assert fixed["ap_gain"] == pytest.approx(difference, abs=1e-4)
    assert (broken["category"], broken["new"]) == ("bicycle", 8)
    assert report["campaign"] is None


def test_a_gate_ends_with_one_where_too_much_may_be_lost_or_broken() -> None:
    assert command("gate", "--no-worse-than", "0.03").exit_code == 0
    lost = command("gate", "--no-worse-than", "0.01")
    assert lost.exit_code == 1
    assert "FAIL: mAP may be 0.021 lower, and 0.01 is allowed" in lost.stdout
    broken = command("gate", "--no-worse-than", "0.03", "--most-broken", "0")
    assert broken.exit_code == 1
    assert "bicycle, background: 0 → 8 failures; street-gt:000000000001" in broken.stdout


def test_the_verdict_of_a_gate_is_json_too() -> None:
    lost = command("gate", "--no-worse-than", "0.01", "--json")

    verdict = json.loads(lost.stdout)
    assert (lost.exit_code, verdict["passed"]) == (1, False)
    assert verdict["reasons"] == ["mAP may be 0.021 lower, and 0.01 is allowed"]
    assert verdict["comparison"]["summary"]["fixed"] == 1
    assert json.loads(command("gate", "--no-worse-than", "0.03", "--json").stdout)["passed"]


def test_results_that_do_not_exist_are_a_wrong_use() -> None:
    arguments = ["compare", "none.json", str(NEW), "--ground-truth", str(GROUND_TRUTH)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "none.json does not exist" in done.stderr


def test_images_that_count_for_neither_cannot_be_compared(tmp_path: Path) -> None:
    truth = json.loads(GROUND_TRUTH.read_text())
    del truth["annotations"]
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(truth))
    arguments = ["compare", str(DETECTIONS), str(NEW), "--ground-truth", str(path)]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InvalidRecord)
    assert "24 images left out (no_ground_truth)" in done.stderr


@pytest.fixture
def percentages(tmp_path: Path) -> Path:
    """Results whose scores on half of the images are percentages."""
    results = json.loads(NEW.read_text())
    for result in results:
        if result["image_id"] % 2:
            result["score"] *= 100
    path = tmp_path / "percentages.json"
    path.write_text(json.dumps(results))
    return path


def gate_of(new: Path, *options: str) -> Result:
    files = [str(DETECTIONS), str(new), "--ground-truth", str(GROUND_TRUTH)]
    return CliRunner().invoke(app, ["gate", *files, "--no-worse-than", "1", *options])


def test_a_gate_does_not_pass_on_the_images_that_are_left(percentages: Path) -> None:
    gate = gate_of(percentages)
    assert gate.exit_code == 1
    assert f"FAIL: {percentages}: 12 images left out (no_usable_detections)" in gate.stdout
    assert "records refused: score_out_of_range" in gate.stderr


def test_a_gate_counts_refused_detections_as_not_there_if_that_is_accepted(
    percentages: Path,
) -> None:
    gate = gate_of(percentages, "--accept-partial", "--json")
    assert gate.exit_code == 0
    assert json.loads(gate.stdout)["comparison"]["frames"] == 24


def test_a_comparison_ends_with_one_where_an_image_was_refused(tmp_path: Path) -> None:
    truth = json.loads(GROUND_TRUTH.read_text())
    truth["images"].append(truth["images"][0] | {"file_name": "another.jpg"})
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(truth))
    done = CliRunner().invoke(
        app, ["compare", str(DETECTIONS), str(NEW), "--ground-truth", str(path)]
    )
    assert done.exit_code == 1
    assert "On 23 frames that both processed" in done.stdout
    assert done.stderr.count("images left out (duplicate_id)") == 2


def test_masks_are_not_compared_where_there_are_none() -> None:
    done = command("compare", "--iou-type", "segm")
    assert isinstance(done.exception, InvalidRecord)
    assert done.exception.reason == "no_masks"
    assert str(DETECTIONS) in str(done.exception)


def test_a_file_that_is_no_sample_is_a_wrong_use(tmp_path: Path) -> None:
    path = tmp_path / "june.json"
    path.write_text('{"campaign": "june"}')
    done = CliRunner().invoke(app, ["sample", "estimate", str(path)])
    assert done.exit_code == 2
    assert "is not what `gazeloop sample draw`" in " ".join(done.stderr.replace("│", "").split())

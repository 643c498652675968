"""`gazeloop evaluate`: two files in, COCO's numbers out."""

import contextlib
import csv
import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner, Result

from services.cli.evaluate_view import summary
from services.cli.main import app
from services.contracts.errors import InvalidRecord
from services.domain.detection.coco import METRICS

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLES = DOCS / "examples"
GROUND_TRUTH, DETECTIONS = EXAMPLES / "street-gt.json", EXAMPLES / "street-detections.json"


def evaluate(*options: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, options)])


def evaluate_files(ground_truth: Path, detections: Path, *options: str) -> Result:
    return evaluate("--ground-truth", ground_truth, "--predictions", detections, *options)


def examples(page: Path = DOCS / "evaluate-files.md") -> Iterator[tuple[str, list[str]]]:
    """The commands of a page, with the lines that it shows below each."""
    lines: list[str] = []
    command = ""
    for line in page.read_text().splitlines():
        if line.startswith("    $ "):
            if command:
                yield command, lines
            command, lines = line.removeprefix("    $ "), []
        elif line.startswith("    ") and command:
            lines.append(line.removeprefix("    "))
    yield command, lines


@pytest.mark.parametrize(("command", "shown"), [*examples()])
def test_examples_of_the_page_print_what_it_shows(
    command: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line in shown] == shown


def test_the_twelve_lines_are_those_that_pycocotools_prints() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(GROUND_TRUTH))
        evaluation = COCOeval(truth, truth.loadRes(str(DETECTIONS)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        evaluation.summarize()
    done = evaluate_files(GROUND_TRUTH, DETECTIONS)
    assert done.stdout.splitlines()[:12] == printed.getvalue().splitlines()


def test_each_number_has_the_line_that_pycocotools_gives_it() -> None:
    """Numbers that differ, so that none stands for another."""
    evaluation = COCOeval(iouType="bbox")
    settings = evaluation.params
    shape = (len(settings.iouThrs), len(settings.recThrs), 1, 4, 3)
    per_setting = np.arange(1, 1 + shape[0] * 12).reshape(shape[0], 1, 1, 4, 3) / 200
    evaluation.eval = {
        "precision": np.broadcast_to(per_setting, shape).copy(),
        "recall": per_setting[:, 0].copy(),
    }
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        evaluation.summarize()
    numbers = dict(zip(METRICS, map(float, evaluation.stats), strict=True))
    assert summary(numbers) == printed.getvalue().splitlines()
    assert summary(dict.fromkeys(METRICS))[0].endswith("] = -1.000")


def test_json_holds_the_curves_and_nothing_else_is_printed() -> None:
    done = evaluate_files(GROUND_TRUTH, DETECTIONS, "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.stderr == "results read as coco\n"
    assert (report["images"], report["left_out"], report["refused"]) == (24, {}, {})
    vehicle = next(part for part in report["categories"] if part["category"] == "vehicle")
    of_vehicle = report["curves"]["categories"]["vehicle"]
    curve, best = of_vehicle["curve"], of_vehicle["recommended"]
    assert {len(curve[name]) for name in curve} == {101}
    assert best["f1"] >= max(curve["f1"])
    assert sum(curve["precision"]) / 101 == pytest.approx(vehicle["numbers"]["AP50"])
    place = report["curves"]["confusion"]["categories"].index("vehicle")
    counts = report["curves"]["confusion"]["counts"]
    assert counts[place][place] == vehicle["operating"]["true_positives"]
    assert sum(row[place] for row in counts) == curve["shown"][50]


def test_csv_has_a_row_for_each_category_and_one_for_all() -> None:
    done = evaluate_files(GROUND_TRUTH, DETECTIONS, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["category"] for row in rows] == [
        *("bicycle", "motorcycle", "pedestrian", "vehicle", "all")
    ]
    assert sum(int(row["ground_truths"]) for row in rows[:-1]) == int(rows[-1]["ground_truths"])
    assert (rows[1]["best_score"], rows[1]["AP_low"]) == ("", "")


def test_json_and_csv_exclude_each_other() -> None:
    done = evaluate_files(GROUND_TRUTH, DETECTIONS, "--json", "--csv")
    assert done.exit_code == 2
    assert "choose --json or --csv" in done.stderr


def test_many_categories_have_their_largest_confusions_printed(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(12)]
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names)],
        "annotations": [
            {
                "id": 1 + k,
                "image_id": 1,
                "category_id": k,
                "bbox": [50 * k, 0, 40, 40],
                "area": 1600,
            }
            for k in range(12)
        ],
    }
    # Every object is taken for the next category; there is one line less than there are confusions.
    found = [
        {"image_id": 1, "category_id": (k + 1) % 12, "bbox": [50 * k, 0, 40, 40], "score": 0.9}
        for k in range(12)
    ]
    files = tmp_path / "gt.json", tmp_path / "dt.json"
    for file, content in zip(files, (truth, found), strict=True):
        file.write_text(json.dumps(content))
    shown = evaluate_files(*files).stdout
    table = shown[shown.index("Confusions") : shown.index("AP at IoU .5")]
    assert len(table.strip().splitlines()) == 2 + 10
    assert "background" not in table


def test_files_without_masks_are_not_compared_by_masks() -> None:
    done = evaluate_files(GROUND_TRUTH, DETECTIONS, "--iou-type", "segm")
    assert isinstance(done.exception, InvalidRecord)
    assert "none of 392 detections has a mask: give them `segmentation`" in str(done.exception)
    assert done.stdout == ""


def test_images_with_tags_are_compared_by_tag(tmp_path: Path) -> None:
    """Half of the images have rain, in which nothing is detected."""
    boxes = {"bbox": [10, 10, 40, 40], "category_id": 1}
    truth = {
        "images": [
            {"id": k, "tags": {"weather": "rain" if k % 2 else "dry", "lanes": 2}}
            for k in range(80)
        ],
        "categories": [{"id": 1, "name": "sign"}],
        "annotations": [{"id": 1 + k, "image_id": k, **boxes} for k in range(80)],
    }
    found = [{"image_id": k, "score": 0.9 - k / 1000, **boxes} for k in range(0, 80, 2)]
    found += [{"image_id": 1, "score": 0.8, **boxes}]
    files = tmp_path / "gt.json", tmp_path / "dt.json"
    for file, content in zip(files, (truth, found), strict=True):
        file.write_text(json.dumps(content))
    shown = evaluate_files(*files).stdout
    rows = shown[shown.index("Images by tag, worst first") :].splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["weather=rain", "weather=dry"]
    assert ["worse" in row for row in rows] == [True, False]
    first, _ = json.loads(evaluate_files(*files, "--json").stdout)["slices"]
    assert (first["key"], first["value"], first["frames"]) == ("weather", "rain", 40)
    assert (first["precision"], first["recall"]) == (1.0, 1 / 40)


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """The detections, of which one cannot be used."""
    found = json.loads(DETECTIONS.read_bytes())
    found[0]["score"] = 7.5
    file = tmp_path / "dt.json"
    file.write_text(json.dumps(found))
    return file


def test_an_image_of_which_a_detection_was_refused_is_left_out(partial: Path) -> None:
    done = evaluate_files(GROUND_TRUTH, partial, "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["images"], report["left_out"]) == (23, {"partial_predictions": 1})
    assert "1 records refused: score_out_of_range. Scores lie between 0 and 1." in done.stderr
    assert "dt.json:[0]" in done.stderr
    assert "--accept-partial" in done.stderr


def test_images_of_which_something_was_refused_count_if_that_is_accepted(partial: Path) -> None:
    done = evaluate_files(GROUND_TRUTH, partial, "--json", "--accept-partial")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["images"], report["detections"]) == (24, 391)
    assert report["refused"] == {"score_out_of_range": 1}


def test_boxes_in_fractions_are_not_taken_as_pixels(tmp_path: Path) -> None:
    results = json.loads(DETECTIONS.read_text())
    for result in results:
        result["bbox"] = [side / 1000 for side in result["bbox"]]
    path = tmp_path / "fractions.json"
    path.write_text(json.dumps(results))
    done = evaluate_files(GROUND_TRUTH, path)
    assert done.exit_code == 1
    assert "no_usable_detections. Correct the files" in done.stderr
    assert "records refused: box_in_fractions. A bbox is [x, y, width, height] in pixels" in (
        " ".join(done.stderr.split())
    )


@pytest.mark.parametrize("part", ["ground truth", "results"])
def test_boxes_of_two_corners_are_not_taken_as_sides(part: str, tmp_path: Path) -> None:
    truth = json.loads(GROUND_TRUTH.read_text())
    results = json.loads(DETECTIONS.read_text())
    for record in truth["annotations"] if part == "ground truth" else results:
        x, y, width, height = record["bbox"]
        record["bbox"] = [x, y, x + width, y + height]
    files = tmp_path / "gt.json", tmp_path / "dt.json"
    for file, content in zip(files, (truth, results), strict=True):
        file.write_text(json.dumps(content))
    done = evaluate_files(*files)
    assert isinstance(done.exception, InvalidRecord)
    assert done.exception.reason == "box_of_corners"
    assert str(files[part == "results"]) in str(done.exception)


def test_the_operating_score_is_the_settings_or_the_options() -> None:
    points = [
        json.loads(
            CliRunner()
            .invoke(
                app,
                [
                    *("--set", "operating_score=0.3"),
                    *("evaluate", "--ground-truth", str(GROUND_TRUTH)),
                    *("--predictions", str(DETECTIONS), "--json", *options),
                ],
            )
            .stdout
        )["operating"]["score"]
        for options in ((), ("--operating-score", "0.7"))
    ]
    assert points == [0.3, 0.7]


def test_a_map_of_categories_gives_the_figures_that_the_right_names_give(tmp_path: Path) -> None:
    truth, detections = json.loads(GROUND_TRUTH.read_text()), json.loads(DETECTIONS.read_text())
    vehicle = next(c["id"] for c in truth["categories"] if c["name"] == "vehicle")
    truth["categories"].append({"id": 99, "name": "car"})
    renamed = [d | {"category_id": 99} if d["category_id"] == vehicle else d for d in detections]
    files = {"gt": truth, "dt": renamed, "map": {"car": "vehicle"}, "none": {"car": None}}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))

    def numbers(*options: str) -> dict[str, float]:
        done = evaluate_files(tmp_path / "gt", tmp_path / "dt", "--json", *options)
        found: dict[str, float] = json.loads(done.stdout)["numbers"]
        return found

    by_name = evaluate_files(GROUND_TRUTH, DETECTIONS, "--json")
    expected = json.loads(by_name.stdout)["numbers"]
    assert numbers("--categories", str(tmp_path / "map")) == expected
    ignored = numbers("--categories", str(tmp_path / "none"))
    assert ignored["AP"] < expected["AP"]
    assert ignored == numbers()  # what no object has costs nothing in COCO's mean


def test_a_map_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "map").write_text("[]")
    done = evaluate_files(GROUND_TRUTH, DETECTIONS, "--categories", str(tmp_path / "map"))
    assert isinstance(done.exception, InvalidRecord)

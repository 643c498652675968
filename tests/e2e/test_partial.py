"""What is refused of a frame makes no needle and no figure, until the corrected file comes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from services.domain.splits import SplitRule
from services.formats.fields import frame_id
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import Mongod
from tests.e2e.command_line import Done, gazeloop
from tests.unit.ingest.datasets import write_images

SHARE = 0.7
IMAGES = 10
BOXES = [[2.0, 3.0, 20.0, 15.0], [30.0, 20.0, 18.0, 22.0]]
WRONG = [40.0, 2.0, 12.0, 10.0]


class Data(NamedTuple):
    """A data set whose detector is right twice on every frame, and wrong once on two of them."""

    folder: Path
    truth: dict[str, Any]
    results: list[dict[str, Any]]
    spoiled: tuple[int, int]
    """Images in the reference: one loses an annotation, one a detection."""
    parts: Mapping[str, str]
    """Variables with the addresses of a broker and a store, so that no command starts its own."""

    def write(self) -> None:
        (self.folder / "gt.json").write_bytes(orjson.dumps(self.truth))
        (self.folder / "dt.json").write_bytes(orjson.dumps(self.results))


def _data(folder: Path, parts: Mapping[str, str]) -> Data:
    rule = SplitRule(SHARE)
    ids = range(1, IMAGES + 1)
    first, second, *_ = (
        number for number in ids if rule.split_of(frame_id("gt", number), None) == "reference"
    )
    names = [f"{number}.jpg" for number in ids]
    write_images(folder / "img", *names)
    # One more frame shows the first picture again, with another ground truth.
    (folder / "img/copy.jpg").write_bytes((folder / f"img/{names[0]}").read_bytes())
    images = [
        {"id": number, "file_name": name, "width": 64, "height": 48}
        for number, name in enumerate([*names, "copy.jpg"], 1)
    ]
    truth = [{"image_id": n, "category_id": 1, "bbox": box} for n in ids for box in BOXES]
    found = [{**document, "score": 0.9} for document in truth]
    found += [{"image_id": n, "category_id": 1, "bbox": WRONG} for n in (first, second)]
    found.append({"image_id": IMAGES + 1, "category_id": 1, "bbox": WRONG})
    content = {
        "images": images,
        "annotations": truth,
        "categories": [{"id": 1, "name": "stop sign"}],
    }
    results = [{"score": 0.8, **document} for document in found]
    return Data(folder, content, results, (first, second), parts)


def _gazeloop(data: Data, *arguments: str | Path) -> Done:
    share = f"reference_share={SHARE}"
    return gazeloop(data.folder / "stack", "--set", share, *arguments, variables=data.parts)


def _mined(data: Data, *options: str) -> str:
    files: list[str | Path] = ["--images", data.folder / "img"]
    files += ["--ground-truth", data.folder / "gt.json"]
    files += ["--predictions", data.folder / "dt.json", "--detector", "ods@1", "--montages", "0"]
    done = _gazeloop(data, "mine", "coco", *files, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def _report(data: Data) -> dict[str, Any]:
    report: dict[str, Any] = orjson.loads(_gazeloop(data, "report", "--json").stdout)
    return report


class Runs(NamedTuple):
    """What was printed and reported of the spoiled file, and of the corrected one."""

    data: Data
    printed: str
    listed: list[dict[str, Any]]
    spoiled: dict[str, Any]
    cured: dict[str, Any]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("parts")
    with EmbeddedKafka(folder / "kafka") as kafka, Mongod(folder / "mongodb") as mongod:
        yield {"GAZELOOP_KAFKA": kafka.bootstrap, "GAZELOOP_MONGODB": mongod.url}


@pytest.fixture(scope="module")
def runs(parts: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    data = _data(tmp_path_factory.mktemp("partial"), parts)
    first, second = data.spoiled
    refused = next(item for item in data.truth["annotations"] if item["image_id"] == first)
    missed = next(result for result in data.results if result["image_id"] == second)
    refused["category_id"], missed["score"] = 9, "high"
    data.write()
    printed = _mined(data)
    listed = orjson.loads(_gazeloop(data, "frames", "not-counted", "--json").stdout)
    spoiled = _report(data)
    refused["category_id"], missed["score"] = 1, 0.9
    data.write()
    _mined(data)
    return Runs(data, printed, listed, spoiled, _report(data))


def test_frames_of_which_something_was_refused_have_no_needles_and_no_figures(runs: Runs) -> None:
    counts, operating = runs.spoiled["counts"], runs.spoiled["operating"]
    assert counts["needles"] == 0
    assert (counts["partial_ground_truth"], counts["partial_predictions"]) == (1, 1)
    assert operating["true_positives"] == 2 * (IMAGES - 2)
    assert (operating["false_positives"], operating["false_negatives"]) == (0, 0)
    assert runs.spoiled["map"]["all"]["AP"] == pytest.approx(1)


def test_they_are_named_with_the_remedy_and_listed(runs: Runs) -> None:
    first, second = (frame_id("gt", number) for number in runs.data.spoiled)
    assert "1 frames have ground truth with refused annotations" in runs.printed
    assert "--accept-partial" in runs.printed
    assert first in runs.printed
    assert runs.listed == sorted(
        [
            {"partial_ground_truth": True, "partial_predictions": [], "original": None}
            | {"frame_id": first},
            {"partial_ground_truth": False, "partial_predictions": ["ods@1"], "original": None}
            | {"frame_id": second},
            {
                "partial_ground_truth": False,
                "partial_predictions": [],
                "original": frame_id("gt", 1),
            }
            | {"frame_id": frame_id("gt", IMAGES + 1)},
        ],
        key=lambda row: str(row["frame_id"]),
    )


def test_the_corrected_file_brings_their_needles_and_figures(runs: Runs) -> None:
    counts, operating = runs.cured["counts"], runs.cured["operating"]
    assert counts["needles"] == 2
    assert (counts["partial_ground_truth"], counts["partial_predictions"]) == (0, 0)
    assert operating["true_positives"] == 2 * IMAGES
    assert (operating["false_positives"], operating["false_negatives"]) == (2, 0)


def test_a_copy_counts_for_nothing(runs: Runs) -> None:
    assert runs.spoiled["counts"]["copies"] == runs.cured["counts"]["copies"] == 1
    assert runs.spoiled["counts"]["frames"] == IMAGES + 1
    assert "1 frames are copies" in runs.printed

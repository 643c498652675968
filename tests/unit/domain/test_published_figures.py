"""Figures that others published, on data that is not part of the repository."""

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade
from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.detection.coco import METRICS
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.operating_point import joint_operating_point
from services.domain.metrics.subsets import Subset
from services.evaluator.files.evaluation import FileEvaluation
from services.formats.items import Detector, FrameItem
from services.formats.readers.coco import read_coco
from tests.unit.domain import oracle

PUBLISHED = ["505", "697", "573", "586", "519", "501", "387", "594", "595", "640", "566", "564"]
"""cocodataset/cocoapi, results/val2014_fake_eval_res.txt, bbox, in thousandths."""
OF_MASKS = ["320", "562", "299", "387", "310", "327", "268", "415", "417", "469", "377", "381"]
"""The same, segm."""


@pytest.fixture
def data() -> Path:
    data_folder = Path(__file__).parents[4] / "shared"
    folder = Path(os.environ.get("GAZELOOP_SHARED", data_folder)) / "data"
    if not folder.is_dir():
        assert not os.environ.get("CI"), f"no data in {folder}, and nothing is skipped in CI"
        pytest.skip(f"no data in {folder}; GAZELOOP_SHARED names another place")
    return folder


def state_of(truth: Mapping[str, Any], results: list[dict[str, Any]]) -> MatchState:
    names = {c["id"]: Category(str(c["name"])) for c in truth["categories"]}
    there, found = defaultdict(list), defaultdict(list)
    for a in truth["annotations"]:
        there[a["image_id"]].append(
            Annotation(
                category=names[a["category_id"]],
                bbox=a["bbox"],
                area=a["area"],
                crowd=bool(a["iscrowd"]),
            )
        )
    for d in results:
        found[d["image_id"]].append(
            Detection(category=names[d["category_id"]], score=d["score"], bbox=d["bbox"])
        )
    state = MatchState(OperatingScores(0.5))
    for image in truth["images"]:
        frame_id = FrameId(f"{image['id']:012d}")
        detections, annotations = tuple(found[image["id"]]), tuple(there[image["id"]])
        frame = oracle.Frame(
            PredictionsMade(frame_id=frame_id, detector="d", version="1", detections=detections),
            FrameAnnotated(frame_id=frame_id, annotations=annotations),
        )
        state.add(oracle.matched(frame))
    return state


def test_the_numbers_published_for_a_hundred_coco_images_come_out(data: Path) -> None:
    folder = data / "coco_val2014_100/faster_coco_eval/tests/dataset/cocoapi"
    truth = json.loads((folder / "instances_val2014_100.json").read_bytes())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_bytes())
    numbers = twelve(state_of(truth, results).of(DetectorId("d@1"), Subset.ALL).values())
    assert [f"{(numbers[name] or 0) * 1000:.0f}" for name in METRICS] == PUBLISHED
    assert numbers == pytest.approx(oracle.twelve(oracle.evaluated(truth, results)), abs=1e-9)


def test_the_numbers_published_for_the_masks_of_these_images_come_out(data: Path) -> None:
    folder = data / "coco_val2014_100/faster_coco_eval/tests/dataset/cocoapi"
    files = (
        folder / "instances_val2014_100.json",
        folder / "instances_val2014_fakesegm100_results.json",
    )
    evaluation = FileEvaluation(OperatingScores(0.5), "segm")
    detector = Detector("d", "1", "segm")
    for item in read_coco(files[0], images=None, predictions=files[1], detector=detector).items:
        assert isinstance(item, FrameItem)
        evaluation.add(item)
    numbers = twelve(evaluation.evaluated().figures.values())
    assert [f"{(numbers[name] or 0) * 1000:.0f}" for name in METRICS] == OF_MASKS
    truth, results = (json.loads(file.read_bytes()) for file in files)
    assert numbers == pytest.approx(
        oracle.twelve(oracle.evaluated(truth, results, "segm")), abs=1e-9
    )


def test_the_street_photos_have_pycocotools_own_numbers(data: Path) -> None:
    truth = json.loads((data / "trapedesveh/derived_coco4.json").read_bytes())
    results = json.loads((data / "trapedesveh/fastestdet_results_coco4.json").read_bytes())
    parts = state_of(truth, results).of(DetectorId("d@1"), Subset.ALL).values()
    numbers = twelve(parts)
    operating = joint_operating_point([part.operating for part in parts], 0.5)
    assert numbers["AP"] == pytest.approx(0.217828, abs=5e-7)
    assert numbers["AP50"] == pytest.approx(0.583879, abs=5e-7)
    assert (operating.true_positives, operating.false_positives) == (446, 710)
    assert numbers == pytest.approx(oracle.twelve(oracle.evaluated(truth, results)), abs=1e-9)

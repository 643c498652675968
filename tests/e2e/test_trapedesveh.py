"""Real street photographs, mined from the command line with a published detector's results."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.command_line import ROOT, gazeloop

SHARED = ROOT.parent / "shared" / "data"
PHOTOS = SHARED / "trapedesveh"
_SET = ("--set", "count_copies=true", "--set", "embedder=gazeloop-small")
"""Two of the pictures are there twice, and pycocotools counts all of them. No figure here depends
on the embedder, so the fastest embeds them."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not PHOTOS.exists():
        reason = f"{PHOTOS} is not here"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    data = tmp_path_factory.mktemp("trapedesveh")
    truth, results = PHOTOS / "derived_coco4.json", PHOTOS / "fastestdet_results_coco4.json"
    command: list[str | Path] = ["mine", "coco", "--images", PHOTOS, "--ground-truth", truth]
    command += ["--predictions", results, "--detector", "fastestdet@coco", "--montages", "4"]
    mined = gazeloop(data, *_SET, *command)
    assert mined.returncode == 0, mined.stdout + mined.stderr
    found = gazeloop(data, *_SET, "report", "--json")
    assert found.returncode == 0, found.stderr
    document: dict[str, Any] = orjson.loads(found.stdout)
    return document


def test_average_precision_is_pycocotools_own(report: dict[str, Any]) -> None:
    numbers = report["map"]["all"]
    assert numbers["AP"] == pytest.approx(0.217828, abs=5e-7)
    assert numbers["AP50"] == pytest.approx(0.583879, abs=5e-7)


def test_true_and_false_positives_are_those_of_the_operating_score(report: dict[str, Any]) -> None:
    operating = report["operating"]
    assert operating["true_positives"] == 446
    assert operating["false_positives"] == 710


def test_every_picture_went_through_whatever_its_mode(report: dict[str, Any]) -> None:
    counts = report["counts"]
    assert (counts["frames"], counts["dead_letters"]) == (230, 0)
    assert counts["shortlists"] > 0

"""A data set with all that goes wrong in one: the rest goes through, and nothing goes silently."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.runtime.embedded.stack import EmbeddedStack
from services.runtime.settings import Settings
from services.survey.generate import SurveyFiles, generate_survey
from tests.e2e.command_line import Done, gazeloop

Runs = tuple[Path, Done, Done]
REASONS = {"missing_image", "unknown_category", "duplicate_id"}


def _spoil(files: SurveyFiles) -> None:
    truth: dict[str, Any] = orjson.loads(files.ground_truth_json.read_bytes())
    next(files.images_dir.iterdir()).unlink()
    truth["annotations"][0]["category_id"] = 999
    truth["images"].append(truth["images"][1] | {"id": 999})
    truth["annotations"][2]["bbox"] = [10, 10, 0, 5]
    files.ground_truth_json.write_bytes(orjson.dumps(truth))
    results: list[dict[str, Any]] = orjson.loads(files.predictions_json.read_bytes())
    spoiled = orjson.dumps(results).replace(b'"score":', b'"score":NaN,"was":', 1)
    files.predictions_json.write_bytes(spoiled)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The data folder, and the same import twice.

    Its broker and store run meanwhile, so that no command starts its own.
    """
    data = tmp_path_factory.mktemp("bad")
    files = generate_survey(data / "survey", drives=2, frames_per_drive=4)
    _spoil(files)
    arguments: list[str | Path] = ["ingest", "coco", "--images", files.images_dir]
    arguments += ["--ground-truth", files.ground_truth_json]
    arguments += ["--predictions", files.predictions_json, "--detector", "survey@1"]
    with EmbeddedStack(Settings(data=data)):
        yield data, gazeloop(data, *arguments), gazeloop(data, *arguments)


def test_the_rest_goes_through(ingested: Runs) -> None:
    _, first, _ = ingested
    assert first.returncode == 0, first.stderr
    assert "frames: 7 published, 0 known already" in first.stdout


def test_what_is_wrong_is_counted_by_reason_and_listed_with_its_place(ingested: Runs) -> None:
    _, first, _ = ingested
    for reason in REASONS:
        assert reason in first.stdout
    assert "ground_truth.json:annotations[" in first.stdout.replace("\n", "")
    assert "detections.json:[0]" in first.stdout.replace("\n", "")


def test_a_second_import_sends_nothing_twice(ingested: Runs) -> None:
    _, _, second = ingested
    assert second.returncode == 0, second.stderr
    assert "frames: 0 published, 7 known already" in second.stdout


def test_dead_letters_keep_every_rejected_record_once(ingested: Runs) -> None:
    data, _, _ = ingested
    found = gazeloop(data, "dead-letters", "list", "--json")
    letters = [orjson.loads(line) for line in found.stdout.splitlines()]
    places = [(letter["reason"], letter["location"]) for letter in letters]
    assert len(places) == len(set(places)) >= 5
    assert {reason for reason, _ in places} >= REASONS


def test_what_never_was_on_a_topic_is_not_replayed(ingested: Runs) -> None:
    data, _, _ = ingested
    found = gazeloop(data, "dead-letters", "replay")
    assert found.returncode == 0
    assert "0 replayed" in found.stdout
    assert "gazeloop ingest" in found.stdout

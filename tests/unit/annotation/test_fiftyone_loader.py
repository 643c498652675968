"""What `load.py` makes of names that FiftyOne cannot have, without FiftyOne."""

import json
import runpy
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

LOADER = files("services.formats.writers") / "fiftyone_loader.py"
DETECTORS = ["ods@1.4", "ods@1_4", "signs@2"]


class Sample(dict[str, Any]):
    """Fields of a sample."""


class Dataset:
    """Takes samples."""

    def __init__(self, name: str, **_: object) -> None:
        self.name = name

    def add_samples(self, samples: list[Sample]) -> None:
        made.extend(samples)

    def values(self, _: str) -> list[str]:
        return [str(place) for place, _ in enumerate(made)]

    def list_brain_runs(self) -> list[str]:
        return []

    def __len__(self) -> int:
        return len(made)

    def select(self, _: list[str]) -> Self:
        return self


made: list[Sample] = []


def detections(**fields: Any) -> Any:
    return fields["detections"]


@pytest.fixture
def fiftyone(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    module, brain = ModuleType("fiftyone"), ModuleType("fiftyone.brain")
    module.__dict__.update(
        Dataset=Dataset, Sample=Sample, Detections=detections, ViewField=str, brain=brain
    )
    monkeypatch.setitem(__import__("sys").modules, "fiftyone", module)
    monkeypatch.setitem(__import__("sys").modules, "fiftyone.brain", brain)


def record(**changes: object) -> dict[str, object]:
    return {
        "file": "images/a.jpg",
        "tags": [],
        "frame_id": "v1:a",
        "vehicle_id": "v1",
        "drive_id": "d",
        "captured_at": datetime(2026, 5, 4, tzinfo=UTC).isoformat(),
        "location": None,
        "frame_tags": {},
        "ground_truth": None,
        "predictions": {},
        "dimension": None,
        **changes,
    }


@pytest.mark.usefixtures("fiftyone")
def test_names_become_fields_that_fiftyone_takes(tmp_path: Path) -> None:
    tags = {"road.type": "a\u2028b\x85c ü"}
    content = record(frame_tags=tags, predictions={detector: [] for detector in DETECTORS})
    line = json.dumps(content, ensure_ascii=False) + "\n"
    (tmp_path / "samples.jsonl").write_bytes(line.encode())
    (tmp_path / "load.py").write_bytes(LOADER.read_bytes())
    runpy.run_path(str(tmp_path / "load.py"), run_name="load")["main"]()
    (sample,) = made
    assert sample["tag_road_type"] == tags["road.type"]
    assert {"ods_1_4", "ods_1_4_2", "signs_2"} <= sample.keys()

from pathlib import Path

import pytest

from services.cli.datasets import DetectionOptions
from services.cli.work.opening import coco_opener
from services.contracts.errors import InvalidRecord
from services.contracts.events import PredictionsMade
from services.formats.frames import OpenedFrame, open_frame
from services.formats.items import FrameItem
from services.formats.readers.detections.format_names import FormatName
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from tests.unit.ingest.datasets import write_json

RESULTS = Path(__file__).parents[1] / "ingest" / "results"


@pytest.fixture
def ground_truth(tmp_path: Path) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "bus.jpg", "width": 640, "height": 480}],
        "annotations": [],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "bus"}],
    }
    return write_json(tmp_path / "gt.json", content)


def frames(ground_truth: Path, options: DetectionOptions) -> list[FrameItem]:
    items = coco_opener(ground_truth, None, options)().items
    return [item for item in items if isinstance(item, FrameItem)]


def test_a_guessed_format_is_printed(
    ground_truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = DetectionOptions(predictions=RESULTS / "roboflow", detector="ods@1")

    (frame,) = frames(ground_truth, options)

    assert "results read as roboflow" in capsys.readouterr().out
    assert frame.detections is not None


def test_the_documentation_has_every_format() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data-sets.md").read_text()

    assert [name for name in FormatName if f"\n| `{name}`" not in page] == [FormatName.AUTO]


def test_a_named_format_is_not_guessed(
    ground_truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = DetectionOptions(
        predictions=RESULTS / "roboflow",
        predictions_format=FormatName.MMDETECTION,
        class_names=RESULTS / "mmdetection" / "classes.txt",
        detector="ods@1",
    )

    with pytest.raises(InvalidRecord, match="not of the format"):
        frames(ground_truth, options)

    assert capsys.readouterr().out == ""


def test_class_names_reach_the_format(ground_truth: Path) -> None:
    options = DetectionOptions(
        predictions=RESULTS / "mmdetection" / "bus.json",
        class_names=RESULTS / "yolo-txt" / "data.yaml",
        detector="ods@1",
    )

    (frame,) = frames(ground_truth, options)

    assert [part.value.category for part in frame.detections or ()] == ["bus", "person"]


def test_results_of_masks_are_published_as_such(ground_truth: Path) -> None:
    options = DetectionOptions(predictions=RESULTS / "roboflow", detector="ods@1", iou_type="segm")
    (frame,) = frames(ground_truth, options)
    opened = open_frame(frame, ImageLimits.of(Settings()), "import")
    assert isinstance(opened, OpenedFrame)
    (made,) = (draft for draft in opened.drafts if isinstance(draft, PredictionsMade))
    assert (made.detector_id, made.iou_type) == ("ods@1", "segm")

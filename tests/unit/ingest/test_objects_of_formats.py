"""No object of a data set is lost, doubled or displaced without a rejection that names it."""

from pathlib import Path

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.formats.adjustments import Adjustment
from services.formats.items import Dataset, FrameItem, Rejection
from services.formats.readers.detections.registry import read_output
from services.formats.readers.returned import Manifest, NamedFrame
from services.formats.readers.yolo import read_yolo

SIZE = (800, 1000)
SENT = Manifest({name: NamedFrame(FrameId(name), SIZE) for name in ("a", "b")})
TIGER = "0 .5 .5 .25 .4" + " .3 .4" * 12
"""A line of a data set with `kpt_shape: [12, 2]`, as Ultralytics' tiger-pose."""


def frames(dataset: Dataset) -> dict[str, FrameItem]:
    return {item.frame_id: item for item in dataset.items if isinstance(item, FrameItem)}


def boxes(frame: FrameItem) -> list[tuple[float, ...]]:
    return [part.value.bbox for part in frame.annotations or ()]


def yolo(folder: Path, line: str, data: str) -> Dataset:
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "a.txt").write_text(line + "\n")
    (folder / "data.yaml").write_text(f"names: [tiger]\n{data}\n")
    return read_yolo(folder, SENT)


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        (TIGER, "[12, 2]"),
        ("0 .5 .5 .25 .4" + " .3 .4 2" * 17, "[17, 3]"),
        ("0 .5 .5 .25 .4" + " .3 .4 2" * 4, "\n- 4\n- 3"),
    ],
)
def test_a_pose_of_yolo_is_its_box(tmp_path: Path, line: str, shape: str) -> None:
    frame = frames(yolo(tmp_path, line, f"kpt_shape: {shape}"))["a"]

    assert boxes(frame) == [pytest.approx((300, 300, 200, 400))]
    assert frame.complete
    assert [part.value.mask for part in frame.annotations or ()] == [None]
    assert frame.adjustments == {Adjustment.KEYPOINTS_LEFT_OUT: 1}


def test_a_box_without_keypoints_is_read_where_others_have_them(tmp_path: Path) -> None:
    frame = frames(yolo(tmp_path, "0 .5 .5 .25 .4", "kpt_shape: [12, 2]"))["a"]

    assert boxes(frame) == [pytest.approx((300, 300, 200, 400))]
    assert not frame.adjustments


def test_a_line_with_other_keypoints_than_declared_is_refused(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, TIGER, "kpt_shape: [10, 2]")

    items = list(dataset.items)

    assert [item.reason for item in items if isinstance(item, Rejection)] == ["unsupported_shape"]
    assert [item.complete for item in items if isinstance(item, FrameItem)] == [False]


@pytest.mark.parametrize("shape", ["12", "[12]", "[12, 4]", "[many, 2]", "{a: 2}"])
def test_keypoints_of_no_known_shape_stop_the_reader(tmp_path: Path, shape: str) -> None:
    with pytest.raises(InvalidRecord, match="kpt_shape"):
        yolo(tmp_path, TIGER, f"kpt_shape: {shape}")


def results(folder: Path, line: str, data: str = "kpt_shape: [12, 2]") -> list[object]:
    """The box, score and track of each record, or why it is refused."""
    (folder / "dt").mkdir()
    (folder / "dt" / "a.txt").write_text(line + "\n")
    (folder / "data.yaml").write_text(f"names: [tiger]\n{data}\n")
    output = read_output(folder / "dt")
    return [
        str(output.errors.get(source.location))
        if source.location in output.errors
        else [source.value.get(key) for key in ("bbox", "score", "track_id")]
        for source in output.sources
        if isinstance(source.value, dict)
    ]


@pytest.mark.parametrize("track", [None, "7"])
@pytest.mark.parametrize(
    ("keypoints", "shape"),
    [(" .3 .4" * 12, "[12, 2]"), (" .3 .4 .9" * 17, "[17, 3]"), ("", "[3, 3]")],
)
def test_a_detected_pose_of_yolo_is_its_box(
    tmp_path: Path, keypoints: str, shape: str, track: str | None
) -> None:
    line = f"0 .5 .5 .25 .4{keypoints} .75 {track or ''}"

    found = results(tmp_path, line, f"kpt_shape: {shape}")

    assert found == [[pytest.approx((0.375, 0.3, 0.25, 0.4)), 0.75, track]]


@pytest.mark.parametrize("line", [TIGER, TIGER + " .1 .1 .8", "0 .1 .1 .9 .1 .5 .9 .75"])
def test_a_detected_pose_without_confidence_is_refused(tmp_path: Path, line: str) -> None:
    (found,) = results(tmp_path, line)

    assert "24 of keypoints" in str(found)

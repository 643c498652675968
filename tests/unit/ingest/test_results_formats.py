"""Each format's example, with the shape that its vendor documents, gives the right detections."""

import base64
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.events import Detection, FrameVector
from services.contracts.identity import Category
from services.formats.items import Detector, FrameItem, Item, Rejection
from services.formats.readers.coco import read_coco
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.format_names import FormatName
from services.formats.readers.detections.registry import FORMATS, read_output, recognised
from services.formats.readers.voc import read_voc
from tests.unit.ingest.datasets import write_images, write_json

EXAMPLES = Path(__file__).parent / "results"
CATEGORIES = {
    "person": 1,
    "bus": 2,
    "car": 3,
    "Car": 4,
    "Vehicle": 5,
    "Person": 6,
    "vehicle": 7,
    "dog": 18,
}
Size = tuple[int, int]


class Example(NamedTuple):
    format: FormatName
    path: str
    images: Mapping[str, Size]
    detections: Mapping[str, Sequence[Detection]]
    class_names: str | None = None


def found(category: str, score: float, *bbox: float, **more: Any) -> Detection:
    left, top, width, height = bbox
    return Detection(
        category=Category(category), score=score, bbox=(left, top, width, height), **more
    )


BUS = {"bus.jpg": (810, 1080)}
SMALL_BUS = {"bus.jpg": (640, 480)}
NUMBERED = {"000000000042.jpg": (640, 480)}
EXAMPLE_LIST = [
    Example(
        FormatName.COCO,
        "coco.json",
        NUMBERED,
        {"000000000042.jpg": [found("dog", 0.236, 258.15, 41.29, 348.26, 243.78)]},
    ),
    Example(
        FormatName.COCO,
        "results.bbox.json",
        NUMBERED,
        {"000000000042.jpg": [found("dog", 0.75, 10.5, 20.25, 30, 40)]},
    ),
    Example(
        FormatName.ULTRALYTICS_PREDICTIONS,
        "ultralytics_predictions.json",
        BUS,
        {
            "bus.jpg": [
                found("person", 0.87125, 48.552, 398.91, 196.75, 504.05),
                found("bus", 0.9402, 22.872, 231.28, 782.13, 525.48),
            ]
        },
        "mmdetection/classes.txt",
    ),
    Example(
        FormatName.ULTRALYTICS_JSON,
        "ultralytics-json",
        BUS,
        {
            "bus.jpg": [
                found(
                    "bus",
                    0.92012,
                    17.28582,
                    230.59348,
                    801.51587 - 17.28582,
                    768.40655 - 230.59348,
                    track_id="7",
                ),
                found("person", 0.83671, 49, 398.5, 196.25, 504.25),
            ]
        },
    ),
    Example(
        FormatName.YOLO_TEXT,
        "yolo-txt",
        SMALL_BUS,
        {
            "bus.jpg": [
                found("bus", 0.9375, 240, 120, 160, 240),
                found("person", 0.5, 120, 300, 80, 120, track_id="12"),
                found("person", 0.75, 160, 120, 160, 120),
            ]
        },
    ),
    Example(
        FormatName.ROBOFLOW,
        "roboflow",
        SMALL_BUS,
        {"bus.jpg": [found("person", 0.94, 108, 7, 163, 186, track_id="3")]},
    ),
    Example(
        FormatName.TORCHVISION,
        "torchvision.json",
        {**NUMBERED, "street/bus.jpg": (640, 480)},
        {"000000000042.jpg": [found("dog", 0.9987, 96.25, 134.5, 84.75, 283.25)]},
    ),
    Example(
        FormatName.MMDETECTION,
        "mmdetection",
        SMALL_BUS,
        {
            "bus.jpg": [
                found("bus", 0.8846, 221.5, 176.75, 234.5, 206.5),
                found("person", 0.7123, 294, 117.25, 84.5, 31.75),
            ]
        },
    ),
    Example(
        FormatName.DEEPSTREAM,
        "deepstream.json",
        {"sensor-0_252.jpg": (1920, 1080), "sensor-0_253.jpg": (1920, 1080)},
        {
            "sensor-0_252.jpg": [
                found(
                    "Vehicle",
                    0.8,
                    1834,
                    150,
                    84,
                    65,
                    track_id="957",
                    attributes={
                        "type": "sedan",
                        "make": "Bugatti",
                        "model": "M",
                        "color": "blue",
                        "region": "California",
                    },
                )
            ],
            "sensor-0_253.jpg": [
                found(
                    "Person",
                    0.5,
                    570,
                    478.5,
                    39,
                    29.25,
                    attributes={
                        "gender": "male",
                        "age": "45",
                        "hair": "black",
                        "cap": "none",
                        "apparel": "formal",
                    },
                )
            ],
        },
    ),
    Example(
        FormatName.DEEPSTREAM_FULL,
        "deepstream_full.json",
        {"CAMERA_ID_2018-04-11T04:59:59.828Z.jpg": (1920, 1080)},
        {
            "CAMERA_ID_2018-04-11T04:59:59.828Z.jpg": [
                found(
                    "vehicle",
                    0.75,
                    585,
                    472.5,
                    57,
                    45.75,
                    attributes={
                        "type": "sedan",
                        "make": "Bugatti",
                        "model": "M",
                        "color": "blue",
                        "licenseState": "CA",
                    },
                )
            ]
        },
    ),
    Example(
        FormatName.DLSTREAMER,
        "dlstreamer.jsonl",
        {"drive_972067039.jpg": (640, 480), "drive_1005400372.jpg": (640, 480)},
        {
            "drive_972067039.jpg": [
                found(
                    "person", 0.625, 320, 120, 160, 300, track_id="4", attributes={"color": "red"}
                )
            ]
        },
    ),
    Example(
        FormatName.SAVANT,
        "savant.jsonl",
        {"people_733333333.jpg": (1920, 1080), "people_766666666.jpg": (1920, 1080)},
        {
            "people_733333333.jpg": [
                found("person", 0.86328125, 900, 500, 200, 400, track_id="4"),
                # Rotated by 90 degrees: as wide as it was high.
                found("dog", 0.5, 350, 475, 100, 50, attributes={"color": "red"}),
            ]
        },
    ),
    Example(
        FormatName.FRIGATE,
        "frigate_mqtt.jsonl",
        {"front_door-1607123955.475377-mxklsc.jpg": (1280, 960)},
        {
            "front_door-1607123955.475377-mxklsc.jpg": [
                found(
                    "person",
                    0.87890625,
                    432,
                    496,
                    112,
                    358,
                    track_id="1607123955.475377-mxklsc",
                    attributes={"zones": "yard,driveway"},
                )
            ]
        },
    ),
    Example(
        FormatName.FRIGATE,
        "frigate_events.json",
        {"front_door-1718987129.308396-fqk5ka.jpg": (640, 480)},
        {
            "front_door-1718987129.308396-fqk5ka.jpg": [
                found(
                    "car",
                    0.8125,
                    320,
                    120,
                    80,
                    240,
                    track_id="1718987129.308396-fqk5ka",
                    attributes={"zones": "street"},
                )
            ]
        },
    ),
    Example(
        FormatName.OPENIMAGES,
        "openimages.csv",
        {"000026e7ee790996.jpg": (640, 480)},
        {"000026e7ee790996.jpg": [found("Car", 0.75, 40, 120, 40, 120)]},
        "class-descriptions.csv",
    ),
]
TEXTS = {FormatName.YOLO_TEXT, FormatName.OPENIMAGES}
every_example = pytest.mark.parametrize(
    "example", EXAMPLE_LIST, ids=[example.path for example in EXAMPLE_LIST]
)


def ground_truth(folder: Path, images: Mapping[str, Size]) -> Path:
    listed = [
        {
            "id": 42 if name == "000000000042.jpg" else number,
            "file_name": name,
            "width": width,
            "height": height,
        }
        for number, (name, (width, height)) in enumerate(images.items(), 1)
    ]
    categories = [{"id": number, "name": name} for name, number in CATEGORIES.items()]
    content = {"images": listed, "annotations": [], "categories": categories}
    return write_json(folder / "gt.json", content)


def read(
    folder: Path,
    images: Mapping[str, Size],
    path: Path,
    format_name: FormatName = FormatName.AUTO,
    class_names: Path | None = None,
) -> list[Item]:
    dataset = read_coco(
        ground_truth(folder, images),
        images=None,
        predictions=path,
        detector=Detector("ods", "1"),
        output_of=lambda given: read_output(given, format_name, class_names),
    )
    return list(dataset.items)


def by_image(items: Sequence[Item], images: Mapping[str, Size]) -> dict[str, list[Detection]]:
    frames = [item for item in items if isinstance(item, FrameItem)]
    numbers = {f"gt:{number:012d}": name for number, name in enumerate(images, 1)}
    numbers["gt:000000000042"] = "000000000042.jpg"
    return {
        numbers[frame.frame_id]: [part.value for part in frame.detections]
        for frame in frames
        if frame.detections
    }


def reasons(items: Sequence[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Rejection)]


@every_example
def test_an_example_gives_its_detections(example: Example, tmp_path: Path) -> None:
    names = EXAMPLES / example.class_names if example.class_names else None

    items = read(tmp_path, example.images, EXAMPLES / example.path, class_names=names)

    assert reasons(items) == []
    detections = by_image(items, example.images)
    assert {
        image: [part.model_copy(update={"mask": None}) for part in parts]
        for image, parts in detections.items()
    } == example.detections


@every_example
def test_an_example_is_recognised_by_its_own_format_only(example: Example) -> None:
    files = OutputFiles(EXAMPLES / example.path)

    recognising = [name for name, known in FORMATS.items() if known.recognises(files)]

    assert recognising == [example.format]


def test_detectron2_writes_coco_results_with_masks(tmp_path: Path) -> None:
    path = EXAMPLES / "coco_instances_results.json"

    (detection,) = by_image(read(tmp_path, NUMBERED, path), NUMBERED)["000000000042.jpg"]

    assert recognised(OutputFiles(path)) is FormatName.COCO
    assert detection == found("dog", 0.9817, 8, 4, 16, 8, mask=detection.mask)
    assert detection.mask is not None


def test_every_format_has_an_example() -> None:
    assert {example.format for example in EXAMPLE_LIST} == FORMATS.keys()


@pytest.mark.parametrize("content", [{"a": 1}, [{"bbox": [1, 2, 3, 4]}], [1, 2], 7, "text"])
def test_results_of_no_known_format_are_refused_with_the_names(
    content: object, tmp_path: Path
) -> None:
    path = write_json(tmp_path / "dt.json", content)

    with pytest.raises(InvalidRecord, match=r"no known format.*--predictions-format.*yolo-txt"):
        read_output(path)


def test_a_folder_of_two_formats_is_ambiguous(tmp_path: Path) -> None:
    for name in ("mmdetection/bus.json", "roboflow/bus.json"):
        (tmp_path / name.replace("/", "_")).write_bytes((EXAMPLES / name).read_bytes())

    with pytest.raises(InvalidRecord, match="may be roboflow or mmdetection") as refused:
        read_output(tmp_path)

    assert refused.value.reason == "unsupported_format"


def test_a_file_of_another_format_leaves_its_frame_without_predictions(tmp_path: Path) -> None:
    folder = tmp_path / "preds"
    folder.mkdir()
    (folder / "bus.json").write_bytes((EXAMPLES / "roboflow/bus.json").read_bytes())
    (folder / "car.json").write_bytes((EXAMPLES / "mmdetection/bus.json").read_bytes())
    (folder / "cut.json").write_text('{"image": {"width": 640, "hei')
    images = dict.fromkeys(("bus.jpg", "car.jpg", "cut.jpg"), (640, 480))

    items = read(tmp_path, images, folder, FormatName.ROBOFLOW)

    assert by_image(items, images).keys() == {"bus.jpg"}
    assert sorted(reasons(items)) == ["invalid_json", "malformed_record"]
    frames = [item for item in items if isinstance(item, FrameItem)]
    assert [frame.detections is None for frame in frames] == [False, True, True]


def test_a_broken_line_is_named_and_its_neighbours_are_read(tmp_path: Path) -> None:
    lines = (EXAMPLES / "deepstream.json").read_text().splitlines()
    path = tmp_path / "dt.jsonl"
    path.write_text("\n".join([lines[0], lines[1][:60]]))
    images = {"sensor-0_252.jpg": (1920, 1080)}

    items = read(tmp_path, images, path)

    assert by_image(items, images).keys() == images.keys()
    (refused,) = (item for item in items if isinstance(item, Rejection))
    assert refused.reason == "invalid_json"
    assert refused.location == f"{path}:2"


def without(key: str, line: str) -> str:
    return json.dumps({name: value for name, value in json.loads(line).items() if name != key})


@pytest.mark.parametrize("broken", [lambda line: line[:60], partial(without, "sensorId")])
def test_a_line_without_its_image_may_be_of_any_so_no_frame_is_complete(
    broken: Callable[[str], str], tmp_path: Path
) -> None:
    first, last = (EXAMPLES / "deepstream.json").read_text().splitlines()
    path = tmp_path / "dt.jsonl"
    path.write_text("\n".join([first, broken(first.replace('"252"', '"251"')), last]))
    images = {f"sensor-0_{number}.jpg": (1920, 1080) for number in (251, 252, 253)}

    items = read(tmp_path, images, path)

    frames = [item for item in items if isinstance(item, FrameItem)]
    assert [frame.detections_complete for frame in frames] == [False] * 3
    assert frames[0].detections is None
    assert by_image(items, images).keys() == images.keys() - {"sensor-0_251.jpg"}


def test_messages_of_unknown_cameras_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecord, match="no image is called 'sensor-0_252'"):
        read(tmp_path, {"252.jpg": (1920, 1080)}, EXAMPLES / "deepstream.json")


def test_truncated_json_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "dt.json"
    path.write_text((EXAMPLES / "frigate_events.json").read_text()[:-20])

    with pytest.raises(InvalidRecord, match=r"dt\.json:3: not JSON"):
        read_output(path)


def test_numbers_of_classes_need_names(tmp_path: Path) -> None:
    path = tmp_path / "bus.json"
    path.write_bytes((EXAMPLES / "mmdetection/bus.json").read_bytes())

    with pytest.raises(InvalidRecord, match="--class-names") as refused:
        read_output(path)

    assert refused.value.reason == "unknown_category"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.25 0.5", "malformed_record"),
        ("0 0.5 0.5 0.25 0.5 nan", "score_not_finite"),
        ("0 0.5 inf 0.25 0.5 0.5", "box_not_finite"),
        ("7 0.5 0.5 0.25 0.5 0.5", "unknown_category"),
        ("0 0.5 0.5 0 0.5 0.5", "box_without_area"),
        ("0 0.5 0.5 0.25 0.5 1.5", "score_out_of_range"),
        ("0 0.5 0.5 0.25 0.5 0.5 0.5", "malformed_record"),
        ("0 a b c d e", "malformed_record"),
    ],
)
def test_a_bad_line_is_refused_alone(line: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bus.txt").write_text(f"1 0.5 0.5 0.25 0.5 0.9375\n{line}\n")
    names = EXAMPLES / "yolo-txt/data.yaml"

    items = read(tmp_path, SMALL_BUS, tmp_path / "bus.txt", class_names=names)

    assert reasons(items) == [reason]
    assert by_image(items, SMALL_BUS) == {"bus.jpg": [found("bus", 0.9375, 240, 120, 160, 240)]}


def test_coco_results_are_a_single_file() -> None:
    with pytest.raises(InvalidRecord, match="a single file"):
        read_output(EXAMPLES, FormatName.COCO)


def test_labels_without_any_confidence_are_refused_as_a_whole(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "bus.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "classes.txt").write_text("person\nbus\n")

    with pytest.raises(InvalidRecord, match=r"no result can be read.*save_conf=True"):
        read(tmp_path, SMALL_BUS, labels)


def test_class_names_are_not_ignored() -> None:
    with pytest.raises(InvalidRecord, match="leave out --class-names"):
        read_output(EXAMPLES / "coco.json", class_names=EXAMPLES / "yolo-txt/data.yaml")


def test_a_camera_with_slashes_does_not_stand_for_another_ones_frames(tmp_path: Path) -> None:
    content = json.loads((EXAMPLES / "deepstream.json").read_text().splitlines()[0])
    path = write_json(tmp_path / "dt.json", {**content, "sensorId": "rtsp://vehicle/1"})

    with pytest.raises(InvalidRecord, match="no image is called 'rtsp:__vehicle_1_252'"):
        read(tmp_path, {"1_252.jpg": (1920, 1080)}, path)


def test_masks_of_mmdetection_are_kept(tmp_path: Path) -> None:
    (coco,) = json.loads((EXAMPLES / "coco_instances_results.json").read_text())
    lists = {"labels": [0], "scores": [0.5], "bboxes": [[8, 4, 24, 12]]}
    path = write_json(tmp_path / "bus.json", {**lists, "masks": [coco["segmentation"]]})

    items = read(tmp_path, SMALL_BUS, path, class_names=EXAMPLES / "yolo-txt/data.yaml")

    (detection,) = by_image(items, SMALL_BUS)["bus.jpg"]
    assert detection.mask is not None
    assert detection.bbox == (8, 4, 16, 8)


@pytest.mark.parametrize(
    ("embedding", "numbers"),
    [({"vector": [1, 0.5]}, [1, 0.5]), ({"vector": []}, None), ("x", None)],
)
def test_embeddings_of_deepstream_are_kept(
    tmp_path: Path, embedding: object, numbers: list[float] | None
) -> None:
    content = json.loads((EXAMPLES / "deepstream_full.json").read_text())
    content["object"]["embedding"] = embedding
    images = {"CAMERA_ID_2018-04-11T04:59:59.828Z.jpg": (1920, 1080)}

    items = read(tmp_path, images, write_json(tmp_path / "dt.json", content))

    ((detection,),) = by_image(items, images).values()
    assert reasons(items) == []
    values = base64.b64encode(struct.pack("<2f", *numbers)).decode() if numbers else ""
    expected = FrameVector(model="deepstream", values=values) if numbers else None
    assert detection.vector == expected


def test_lists_of_different_lengths_leave_the_image_without_predictions(tmp_path: Path) -> None:
    good = {"labels": [1], "scores": [0.5], "boxes": [[8, 4, 24, 12]]}
    content = {"bus.jpg": good, "car.jpg": {**good, "scores": []}}
    images = dict.fromkeys(content, (640, 480))

    items = read(tmp_path, images, write_json(tmp_path / "dt.json", content))

    assert reasons(items) == ["malformed_record"]
    frames = [item for item in items if isinstance(item, FrameItem)]
    assert [frame.detections is None for frame in frames] == [False, True]


def test_dl_streamer_names_an_image_by_its_source_or_by_its_file(tmp_path: Path) -> None:
    message = json.loads((EXAMPLES / "dlstreamer.jsonl").read_text().splitlines()[0])
    of_image = {**message, "source": "file:///data/street/bus.jpg"}
    unnamed = {key: value for key, value in message.items() if key != "source"}
    folder = tmp_path / "messages"
    folder.mkdir()
    write_json(folder / "0001.json", of_image)
    write_json(folder / "car.json", unnamed)
    images = dict.fromkeys(("bus.jpg", "car.jpg"), (640, 480))

    items = read(tmp_path, images, folder)

    assert reasons(items) == []
    assert by_image(items, images).keys() == images.keys()


def test_records_of_rotated_boxes_get_the_upright_box(tmp_path: Path) -> None:
    corners = [10, 20, 30, 10, 40, 30, 20, 40]
    record = {"image_id": "bus", "file_name": "bus.jpg", "category_id": 2, "score": 0.5}
    path = write_json(
        tmp_path / "dt.json", [{**record, "rbox": [25, 25, 1, 1, 0], "poly": corners}]
    )

    items = read(tmp_path, SMALL_BUS, path)

    assert by_image(items, SMALL_BUS)["bus.jpg"] == [found("bus", 0.5, 10, 10, 30, 30)]


def test_names_beside_the_results_do_not_rename_category_ids(tmp_path: Path) -> None:
    path = tmp_path / "dt.json"
    path.write_bytes((EXAMPLES / "ultralytics_predictions.json").read_bytes())
    (tmp_path / "data.yaml").write_text("names: [dog, car]")

    (person, bus) = by_image(read(tmp_path, BUS, path), BUS)["bus.jpg"]

    assert (person.category, bus.category) == ("person", "bus")


def test_classes_from_0_and_from_1_give_the_same_names(tmp_path: Path) -> None:
    records = json.loads((EXAMPLES / "ultralytics_predictions.json").read_text())
    from_0 = [{**record, "category_id": record["category_id"] - 1} for record in records]
    names = EXAMPLES / "mmdetection/classes.txt"

    first, second = (
        by_image(read(tmp_path, BUS, path, class_names=names), BUS)
        for path in (
            EXAMPLES / "ultralytics_predictions.json",
            write_json(tmp_path / "predictions.json", from_0),
        )
    )

    assert first == second


def test_normalised_boxes_of_to_json_are_recognised(tmp_path: Path) -> None:
    box = {"x1": 0.25, "y1": 0.5, "x2": 0.5, "y2": 1.0}
    results = [{"name": "bus", "class": 5, "confidence": 0.5, "box": box}]
    content = {"bus.jpg": json.dumps(results)}

    items = read(tmp_path, SMALL_BUS, write_json(tmp_path / "dt.json", content))

    assert by_image(items, SMALL_BUS) == {"bus.jpg": [found("bus", 0.5, 160, 240, 160, 240)]}


def test_relative_boxes_take_the_size_of_the_image_where_nothing_declares_one(
    tmp_path: Path,
) -> None:
    images, annotations = tmp_path / "images", tmp_path / "annotations"
    write_images(images, "bus.jpg")
    annotations.mkdir()
    xml = "<annotation><filename>bus.jpg</filename></annotation>"
    (annotations / "bus.xml").write_text(xml)

    def detections(folder: Path | None) -> tuple[list[str], list[FrameItem]]:
        dataset = read_voc(annotations, images=folder, predictions=EXAMPLES / "yolo-txt")
        items = list(dataset.items)
        return reasons(items), [item for item in items if isinstance(item, FrameItem)]

    refused, (without_images,) = detections(None)
    assert refused == ["unknown_size"] * 3
    assert without_images.detections is None

    refused, (frame,) = detections(images)
    assert refused == []
    assert frame.detections is not None
    assert frame.detections[0].value.category == "bus"


def damaged(value: Any, junk: object) -> Iterator[Any]:
    """The value with one of its parts replaced, for each part."""
    yield junk
    keys: Iterable[Any] = ()
    if isinstance(value, dict | list):
        keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        for part in damaged(value[key], junk):
            whole = copy(value)
            whole[key] = part
            yield whole


@pytest.mark.parametrize("junk", [None, "x", math.nan, [], {}, -1, 10**400, True, ["x"], {"x": 1}])
@pytest.mark.parametrize(
    "example",
    [known for known in EXAMPLE_LIST if known.format not in TEXTS],
    ids=lambda example: example.path,
)
def test_a_damaged_value_is_refused_by_name(example: Example, junk: object, tmp_path: Path) -> None:
    source = EXAMPLES / example.path
    file = next(source.rglob("*.json")) if source.is_dir() else source
    text = file.read_text()
    values = [json.loads(line) for line in text.splitlines()] if "\n{" in text else json.loads(text)
    names = EXAMPLES / example.class_names if example.class_names else None
    for value in damaged(values, junk):
        path = write_json(tmp_path / file.name, value)
        with suppress(InvalidRecord):
            read(tmp_path, example.images, path, example.format, names)


def test_a_bad_track_or_attribute_leaves_the_detection(tmp_path: Path) -> None:
    record = {"image_id": 42, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.5}
    bad = {"track_id": [1], "attributes": {"note": "x" * 200}}
    good = {"track_id": 3.0, "attributes": {"occluded": True, "parts": [1], "rotation": 0}}
    path = write_json(tmp_path / "dt.json", [{**record, **bad}, {**record, **good}])

    items = read(tmp_path, NUMBERED, path)

    assert reasons(items) == ["malformed_record"] * 2
    assert by_image(items, NUMBERED)["000000000042.jpg"] == [
        found("dog", 0.5, 1, 2, 3, 4),
        found("dog", 0.5, 1, 2, 3, 4, track_id="3", attributes={"occluded": "true"}),
    ]

"""One small survey in the ways in which tools write it: each is read as what it means.

Twelve frames of 320 x 240 with 24 objects of two categories and 36 detections; pycocotools finds
AP .5298 in the files as they are.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated, FrameCaptured, PredictionsMade
from services.formats.adjustments import Adjustment
from services.formats.frames import OpenedFrame, open_frame
from services.formats.items import Dataset, Detector, FrameItem, Rejection
from services.formats.readers.coco import read_coco
from services.formats.readers.via import read_via
from services.formats.readers.voc import read_voc
from services.runtime.images import ImageLimits
from tests.unit.ingest.datasets import Json, jpeg, write_json
from tests.unit.ingest.evaluation import evaluated

CASES = Path(__file__).parent / "cases"
DETECTOR = Detector("ods", "1")
LIMITS = ImageLimits(2**20, 2**20)
AP = 0.5298


def truth() -> Json:
    content: Json = json.loads((CASES / "ground_truth.json").read_bytes())
    return content


def results() -> list[Json]:
    content: list[Json] = json.loads((CASES / "results.json").read_bytes())
    return content


def named_results() -> list[Json]:
    names = {item["id"]: item["name"] for item in truth()["categories"]}
    return [
        {
            "image_id": f"f{result['image_id']:03}",
            "category_name": names[result["category_id"]],
            "bbox": result["bbox"],
            "score": result["score"],
        }
        for result in results()
    ]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def write_pictures(
    folder: Path, size: tuple[int, int] = (320, 240), orientation: int | None = None
) -> Path:
    folder.mkdir()
    for number in range(1, 13):
        (folder / f"f{number:03}.jpg").write_bytes(jpeg(number, size, orientation))
    return folder


class Read:
    """What became of a data set behind its reader and the stage of rules."""

    def __init__(self, dataset: Dataset) -> None:
        self.frames: list[OpenedFrame] = []
        self.rejections: list[Rejection] = []
        for item in dataset.items:
            assert isinstance(item, FrameItem | Rejection)
            opened = open_frame(item, LIMITS, "import") if isinstance(item, FrameItem) else item
            if isinstance(opened, OpenedFrame):
                self.frames.append(opened)
                self.rejections += opened.rejections
            else:
                self.rejections.append(opened)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(rejection.reason for rejection in self.rejections)

    @property
    def adjustments(self) -> Counter[Adjustment]:
        return sum((frame.item.adjustments for frame in self.frames), Counter())

    @property
    def stats(self) -> list[float]:
        """pycocotools' twelve numbers of the events."""
        ids = {item["name"]: item["id"] for item in truth()["categories"]}
        images, annotations, detections = [], list[Json](), list[Json]()
        for number, frame in enumerate(self.frames, start=1):
            for draft in frame.drafts:
                match draft:
                    case FrameCaptured():
                        images.append(
                            {"id": number, "width": draft.image.width, "height": draft.image.height}
                        )
                    case FrameAnnotated():
                        annotations += [
                            {
                                "id": len(annotations) + at,
                                "image_id": number,
                                "category_id": ids[annotation.category],
                                "bbox": list(annotation.bbox),
                                "area": annotation.area or annotation.bbox[2] * annotation.bbox[3],
                                "iscrowd": int(annotation.crowd),
                            }
                            for at, annotation in enumerate(draft.annotations, start=1)
                        ]
                    case PredictionsMade():
                        detections += [
                            {
                                "image_id": number,
                                "category_id": ids[detection.category],
                                "bbox": list(detection.bbox),
                                "score": detection.score,
                            }
                            for detection in draft.detections
                        ]
        content = truth() | {"images": images, "annotations": annotations}
        return evaluated(content, detections)


def read(images: Path, content: object, found: object) -> Read:
    folder = images.parent
    dataset = read_coco(
        write_json(folder / "gt.json", content),
        images=images,
        predictions=write_json(folder / "dt.json", found),
        detector=DETECTOR,
    )
    return Read(dataset)


def is_right(found: Read, *, adjustments: dict[Adjustment, int] | None = None) -> bool:
    assert found.reasons == {}
    assert found.adjustments == (adjustments or {})
    assert all(frame.item.complete and frame.item.detections_complete for frame in found.frames)
    assert found.stats == pytest.approx(evaluated(truth(), results()), abs=1e-12)
    assert found.stats[0] == pytest.approx(AP, abs=5e-5)
    return len(found.frames) == 12


def test_the_survey_as_it_is(images: Path) -> None:
    assert is_right(read(images, truth(), results()))


@pytest.mark.parametrize("number", [lambda at: at % 2, lambda _: 0, lambda _: {}])
def test_annotation_ids_that_repeat_mean_nothing(images: Path, number: Any) -> None:
    content = truth()
    for at, annotation in enumerate(content["annotations"]):
        annotation["id"] = number(at)

    assert is_right(read(images, content, results()))


def ultralytics(image: Json) -> Json:
    name = f"f{image['image_id']:03}"
    return image | {"image_id": name, "file_name": f"{name}.jpg"}


@pytest.mark.parametrize(
    "named",
    [
        ultralytics,
        lambda item: item | {"image_id": f"f{item['image_id']:03}"},
        lambda item: item | {"image_id": f"f{item['image_id']:03}.jpg"},
        lambda item: item | {"image_id": f"/elsewhere/img/f{item['image_id']:03}.jpg"},
        lambda item: item | {"image_id": str(item["image_id"])},
        lambda item: item | {"image_id": float(item["image_id"])},
        lambda item: item | {"category_id": str(item["category_id"])},
        lambda item: item | {"category_id": ["", "sign", "light"][item["category_id"]]},
    ],
)
def test_results_may_name_images_and_categories_in_any_way(images: Path, named: Any) -> None:
    assert is_right(read(images, truth(), [named(result) for result in results()]))


def test_a_file_name_says_more_than_a_number(images: Path) -> None:
    found = [
        result | {"file_name": f"f{result['image_id']:03}.jpg", "image_id": 13 - result["image_id"]}
        for result in results()
    ]
    assert is_right(read(images, truth(), found), adjustments={Adjustment.RESULT_BY_FILE_NAME: 36})


def test_numbers_that_are_ids_and_names_are_ids(images: Path) -> None:
    content = numbered(images, {n: 13 - n for n in range(1, 13)})

    assert is_right(read(images, content, results()))


def numbered(images: Path, names: dict[int, int]) -> Json:
    """The survey with its files called by numbers."""
    content = truth()
    for image in content["images"]:
        (images / image["file_name"]).rename(images / f"{names[image['id']]}.jpg")
        image["file_name"] = f"{names[image['id']]}.jpg"
    return content


def test_texts_that_may_be_two_images_are_refused_and_neither_has_predictions(
    images: Path,
) -> None:
    content = numbered(images, {n: n for n in range(1, 13)} | {1: 2, 2: 1})

    found = read(
        images, content, [result | {"image_id": str(result["image_id"])} for result in results()]
    )

    assert found.reasons == {"unknown_image": 6}
    assert [frame.item.detections is None for frame in found.frames] == [True] * 2 + [False] * 10
    assert [frame.item.detections_complete for frame in found.frames] == [False] * 2 + [True] * 10


def test_ids_of_more_images_than_are_listed_are_not_taken_for_names(images: Path) -> None:
    content = numbered(images, {n: 100 + n for n in range(1, 13)})
    more = [{"image_id": n, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 1} for n in (99, 105)]

    found = read(images, content, [*results(), *more])

    assert found.reasons == {"unknown_image": 2}
    assert found.stats == pytest.approx(evaluated(truth(), results()), abs=1e-12)


def test_numbers_that_are_all_names_and_not_all_ids_are_names(images: Path) -> None:
    content = numbered(images, {n: 6 + n for n in range(1, 13)})

    assert is_right(
        read(
            images, content, [result | {"image_id": 6 + result["image_id"]} for result in results()]
        )
    )


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("unknown_image", {"image_id": "nowhere"}),
        ("malformed_record", {"image_id": None}),
        ("unknown_category", {"category_id": 9}),
    ],
)
def test_results_of_another_data_set_stop_before_anything_is_published(
    images: Path, reason: str, change: Json
) -> None:
    with pytest.raises(InvalidRecord, match="Give them") as caught:
        read(images, truth(), [result | change for result in results()])

    assert caught.value.reason == reason


def test_annotations_of_no_listed_image_stop_before_every_frame_is_empty(images: Path) -> None:
    content = truth()
    for annotation in content["annotations"]:
        annotation["image_id"] += 100

    with pytest.raises(InvalidRecord, match="none of 24 annotations"):
        read(images, content, results())


def test_results_with_their_own_images_go_by_their_file_names(images: Path) -> None:
    own = [{"id": 13 - n, "file_name": f"data/f{n:03}.jpg"} for n in range(1, 13)]
    found = [result | {"image_id": 13 - result["image_id"]} for result in results()]

    assert is_right(read(images, truth(), {"images": own, "annotations": found}))


def test_an_image_that_only_the_results_list_is_refused(images: Path) -> None:
    own = [{"id": n, "file_name": f"f{n:03}.jpg"} for n in range(1, 12)]
    own.append({"id": 12, "file_name": "other.jpg"})

    found = read(images, truth(), {"images": own, "annotations": results()})

    assert found.reasons == {"unknown_image": 3}


def test_results_with_images_of_their_own_size_are_scaled(images: Path) -> None:
    own = [
        {"id": n, "file_name": f"f{n:03}.jpg", "width": 640, "height": 480} for n in range(1, 13)
    ]
    found = [result | {"bbox": [2 * side for side in result["bbox"]]} for result in results()]

    assert is_right(
        read(images, truth(), {"images": own, "annotations": found}),
        adjustments={Adjustment.SCALED: 12},
    )


def test_boxes_of_the_sensors_frame_turn_with_the_picture(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "img", orientation=6)

    assert is_right(read(images, truth(), results()), adjustments={Adjustment.TURNED: 12})


def test_boxes_of_pictures_that_were_halved_are_scaled(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "img", (160, 120))

    found = read(images, truth(), results())

    assert found.reasons == {}
    assert found.adjustments == {Adjustment.SCALED: 12}
    # The numbers by area are those of smaller objects.
    assert found.stats[:3] == pytest.approx(evaluated(truth(), results())[:3], abs=1e-12)


def test_a_picture_of_another_shape_is_refused(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "img", (320, 320))

    assert read(images, truth(), results()).reasons == {"size_mismatch": 12}


@pytest.mark.parametrize(
    "spelled",
    [
        lambda folder, name: str(folder / name),
        lambda _, name: f"img\\{name}",
        lambda _, name: f".\\{name}",
        lambda _, name: f"img/{name}",
        lambda _, name: f"../img/{name}",
    ],
)
def test_file_names_that_lead_into_the_folder_are_found(images: Path, spelled: Any) -> None:
    content = truth()
    for image in content["images"]:
        image["file_name"] = spelled(images, image["file_name"])

    assert is_right(read(images, content, results()))
    assert is_right(read(images, content, named_results()))


def test_scores_that_float32_rounded_above_one_are_one(images: Path) -> None:
    found = [
        result | {"score": 1.0000001192092896} if at % 3 == 0 else result
        for at, result in enumerate(results())
    ]

    returned = read(images, truth(), found)

    assert returned.reasons == {}
    assert returned.adjustments == {Adjustment.SCORE_CLIPPED: 12}
    assert returned.stats == pytest.approx(evaluated(truth(), found), abs=1e-12)
    assert returned.stats[0] == pytest.approx(0.6208, abs=5e-5)


@pytest.mark.parametrize("crowd", ["0", False, 0.0, None])
def test_a_crowd_may_be_a_text(images: Path, crowd: object) -> None:
    content = truth()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = crowd

    assert is_right(read(images, content, results()))


@pytest.mark.parametrize("bbox", [None, [], [0, 0, 0, 0]])
def test_polygons_without_a_box_get_the_one_around_them(images: Path, bbox: object) -> None:
    content = truth()
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        annotation |= {"bbox": bbox, "segmentation": [corners]}
    for image in content["images"]:
        del image["width"], image["height"]

    expected = {Adjustment.BOX_FROM_POLYGON: 24, Adjustment.SIZE_READ: 12}
    assert is_right(read(images, content, results()), adjustments=expected)


def test_reversed_corners_of_coco_boxes_are_sorted(images: Path) -> None:
    content = truth()
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x + width, y + height, -width, -height]

    expected = {Adjustment.CORNERS_SORTED: 24}
    assert is_right(read(images, content, results()), adjustments=expected)


def boxes_of(content: Json) -> dict[int, list[tuple[str, list[float]]]]:
    names = {item["id"]: item["name"] for item in content["categories"]}
    boxes: dict[int, list[tuple[str, list[float]]]] = {}
    for item in content["annotations"]:
        boxes.setdefault(item["image_id"], []).append((names[item["category_id"]], item["bbox"]))
    return boxes


def voc(boxes: Iterable[tuple[str, Sequence[float]]], filename: str, *, swap: bool = False) -> str:
    objects = ""
    for name, (x, y, width, height) in boxes:
        left, right = (x + width, x) if swap else (x, x + width)
        objects += (
            f"<object><name>{name}</name><bndbox><xmin>{left}</xmin><ymin>{y}</ymin>"
            f"<xmax>{right}</xmax><ymax>{y + height}</ymax></bndbox></object>"
        )
    size = "<size><width>320</width><height>240</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{size}{objects}</annotation>"


def write_voc(folder: Path, filename: str | None = None, *, swap: bool = False) -> Path:
    folder.mkdir()
    for number, boxes in boxes_of(truth()).items():
        name = f"f{number:03}"
        text = voc(boxes, filename or f"{name}.jpg", swap=swap)
        (folder / f"{name}.xml").write_text(text)
    return folder


def read_as_voc(images: Path, annotations: Path) -> Read:
    found = write_json(images.parent / "dt.json", named_results())
    dataset = read_voc(annotations, images=images, predictions=found, detector=DETECTOR)
    return Read(dataset)


def test_corners_of_voc_boxes_are_sorted(images: Path, tmp_path: Path) -> None:
    annotations = write_voc(tmp_path / "ann", swap=True)

    expected = {Adjustment.CORNERS_SORTED: 24}
    assert is_right(read_as_voc(images, annotations), adjustments=expected)


def test_a_stale_file_name_in_voc_gives_way_to_the_image_of_the_same_stem(
    images: Path, tmp_path: Path
) -> None:
    annotations = write_voc(tmp_path / "ann", "f001.jpg")

    expected = {Adjustment.IMAGE_BY_STEM: 11}
    returned = read_as_voc(images, annotations)
    assert is_right(returned, adjustments=expected)
    assert [frame.item.image for frame in returned.frames] == sorted(images.iterdir())


@pytest.mark.parametrize(
    "filename", ["/home/me/f001.jpg", "../images/f001.jpg", r"C:\pictures\f001.jpg"]
)
def test_file_names_of_another_machine_give_way_to_the_stem(
    images: Path, tmp_path: Path, filename: str
) -> None:
    annotations = write_voc(tmp_path / "ann", filename)

    returned = read_as_voc(images, annotations)

    assert is_right(returned, adjustments={Adjustment.IMAGE_BY_STEM: 11})


def test_several_voc_files_of_one_image_are_counted(images: Path, tmp_path: Path) -> None:
    annotations = tmp_path / "ann"
    annotations.mkdir()
    for name in ("f001", "copy of f001"):
        (annotations / f"{name}.xml").write_text(voc([], "f001.jpg"))

    assert Read(read_voc(annotations, images=images)).adjustments == {Adjustment.IMAGE_SHARED: 1}


def test_hidden_files_and_what_archives_leave_are_passed_over(images: Path, tmp_path: Path) -> None:
    annotations = write_voc(tmp_path / "ann")
    for hidden in (".ipynb_checkpoints/f001-checkpoint.xml", "._f002.xml", "__MACOSX/f003.xml"):
        (annotations / hidden).parent.mkdir(exist_ok=True)
        (annotations / hidden).write_bytes((annotations / "f001.xml").read_bytes() + b"\0" * 9)

    assert is_right(read_as_voc(images, annotations))


def test_a_hidden_folder_that_is_named_is_read(images: Path, tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()

    assert is_right(read_as_voc(images, write_voc(tmp_path / ".data" / "ann")))


def test_files_that_begin_with_a_byte_order_mark_are_read(images: Path, tmp_path: Path) -> None:
    annotations = write_voc(tmp_path / "ann")
    for file in annotations.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + json.dumps(named_results()).encode())

    dataset = read_voc(annotations, images=images, predictions=marked, detector=DETECTOR)

    assert is_right(Read(dataset))


def via(attribute: str) -> Json:
    return {
        f"f{number:03}.jpg1": {
            "filename": f"f{number:03}.jpg",
            "regions": [
                {
                    "shape_attributes": dict(
                        zip(("name", "x", "y", "width", "height"), ("rect", *bbox), strict=True)
                    ),
                    "region_attributes": {attribute: name, "quality": {"good": True}},
                }
                for name, bbox in boxes
            ],
        }
        for number, boxes in boxes_of(truth()).items()
    }


def read_as_via(images: Path, attribute: str, named: str | None = None) -> Read:
    dataset = read_via(
        write_json(images.parent / "via.json", via(attribute)),
        images=images,
        predictions=write_json(images.parent / "dt.json", named_results()),
        detector=DETECTOR,
        category_attribute=named,
    )
    return Read(dataset)


def test_the_category_of_via_may_be_in_an_attribute_in_capitals(images: Path) -> None:
    assert is_right(read_as_via(images, "Object"))


def test_an_attribute_that_nobody_knows_is_named_with_the_option(images: Path) -> None:
    returned = read_as_via(images, "what")

    assert returned.reasons == {"unknown_category": 24}
    assert "'what', 'quality'" in returned.rejections[0].detail
    assert "--category-attribute" in returned.rejections[0].detail
    assert not any(frame.item.complete for frame in returned.frames)
    assert is_right(read_as_via(images, "what", named="what"))


def test_vectors_of_images_and_results_are_kept_and_a_broken_one_is_left_out(images: Path) -> None:
    content, found = truth(), results()
    content["images"][0]["vector"] = {"model": "vit", "values": [1, -2.5]}
    content["images"][1]["vector"] = {"model": "vit", "values": ["x"]}
    found[0]["vector"] = {"model": "vit", "values": "AACAPwAAIMA="}

    outcome = read(images, content, found)

    first = outcome.frames[0].drafts
    captured = next(draft for draft in first if isinstance(draft, FrameCaptured))
    made = [
        detection
        for frame in outcome.frames
        for draft in frame.drafts
        if isinstance(draft, PredictionsMade)
        for detection in draft.detections
    ]
    assert captured.vector is not None
    assert captured.vector.values == "AACAPwAAIMA="
    assert sum(detection.vector == captured.vector for detection in made) == 1
    assert outcome.reasons == {"malformed_record": 1}
    assert len(outcome.frames) == 12

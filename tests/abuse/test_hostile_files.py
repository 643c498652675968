"""Data sets that mean harm: each ends in a rejection with a reason, within bounds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import InvalidRecord
from services.formats.items import Dataset, Detector, Item, Rejection
from services.formats.readers.coco import read_coco
from services.formats.readers.via import read_via
from services.formats.readers.voc import read_voc
from services.ingest.publishing import publish_dataset
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.ingest.datasets import coco, write_images, write_json
from tests.unit.ingest.parts import parts_in_memory

SECRET = b"top secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", "b.jpg", "c d.jpg")
    (tmp_path / "secret.jpg").write_bytes(SECRET)
    (tmp_path / "images" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    return tmp_path


PATHS = [
    "../secret.jpg",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "link.jpg",
    "b.jpg/../../secret.jpg",
    "./../secret.jpg",
    "file:///etc/passwd",
    "http://127.0.0.1:1/a.jpg",
    "..\\secret.jpg",
    "~/secret.jpg",
    "$HOME/secret.jpg",
    "|cat /etc/passwd",
    "b.jpg\0.png",
    "/dev/zero",
    "/proc/self/mem",
    "-",
    "\udcff",
]


def from_coco(folder: Path, name: str) -> Dataset:
    images = [{"id": 1, "file_name": name, "width": 64, "height": 48}]
    file = write_json(folder / "gt.json", coco(images=images, annotations=[]))
    return read_coco(file, images=folder / "images")


def from_via(folder: Path, name: str) -> Dataset:
    content = {"a": {"filename": name, "size": 1, "regions": [], "file_attributes": {}}}
    return read_via(write_json(folder / "via.json", content), images=folder / "images")


def from_voc(folder: Path, name: str) -> Dataset:
    annotations = folder / "xml"
    annotations.mkdir()
    text = name.replace("\0", "&#0;").encode(errors="replace").decode()
    (annotations / "1.xml").write_text(
        f"<annotation><filename>{text}</filename></annotation>", encoding="utf-8"
    )
    return read_voc(annotations, images=folder / "images")


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("opened", [from_coco, from_via, from_voc])
async def test_no_file_outside_the_folder_is_ever_published(
    folder: Path, opened: Callable[[Path, str], Dataset], name: str
) -> None:
    outbox, blobs = InMemoryOutbox(), InMemoryBlobs()

    parts = replace(parts_in_memory(), outbox=outbox, blobs=blobs)
    summary = await publish_dataset(opened(folder, name).items, parts)

    assert summary.rejected.total() == 1
    assert blobs.contents == {}
    (letter,) = outbox.published
    assert isinstance(letter, DeadLettered)
    assert SECRET not in letter.original_value
    assert b"root:" not in letter.original_value


VALUES: list[object] = [
    None,
    True,
    -1,
    10**400,
    -(2**70),
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x" * 100_000,
    "\ud800",
    "\0",
    [],
    {},
    [[[]]],
    {"$gt": ""},
    [None] * 4,
    ["1", "2", "3", "4"],
]
FIELDS = {
    "images": [
        "id",
        "file_name",
        "width",
        "height",
        "captured_at",
        "lat",
        "vehicle_id",
        "drive_id",
    ],
    "annotations": ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"],
    "categories": ["id", "name"],
    "": ["image_id", "category_id", "bbox", "score", "segmentation"],
}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    ("part", "field"), [(part, field) for part, names in FIELDS.items() for field in names]
)
async def test_any_value_in_any_field_is_read_or_rejected(
    folder: Path, part: str, field: str, value: object
) -> None:
    truth = coco()
    results = [{"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
    # Sound ones: a file that is wrong altogether is refused as a whole.
    results += [result | {"image_id": 10, "category_id": 7} for result in results]
    truth["annotations"].append({"image_id": 10, "category_id": 7, "bbox": [1, 2, 3, 4]})
    (truth[part] if part else results)[0][field] = value
    dataset = read_coco(
        write_json(folder / "gt.json", truth),
        images=folder / "images",
        predictions=write_json(folder / "dt.json", results),
        detector=Detector("ods", "1"),
    )
    outbox = InMemoryOutbox()

    parts = replace(parts_in_memory(), outbox=outbox)
    summary = await publish_dataset(dataset.items, parts)

    letters = [event for event in outbox.published if isinstance(event, DeadLettered)]
    assert len(letters) == summary.rejected.total()
    assert summary.frames.published >= 1
    for letter in letters:
        assert json.loads(letter.original_value) is not None or value is None


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "field", ["regions", "file_attributes", "shape_attributes", "region_attributes", "x", "width"]
)
def test_any_value_in_a_via_file_is_read_or_rejected(
    folder: Path, field: str, value: object
) -> None:
    shape = {"name": "rect", "x": 1, "y": 1, "width": 5, "height": 5}
    region = {"shape_attributes": shape, "region_attributes": {"category": "sign"}}
    record: dict[str, object] = {"filename": "b.jpg", "regions": [region], "file_attributes": {}}
    for part in (record, region, shape):
        if field in part:
            part[field] = value

    items: list[Item] = list(
        read_via(write_json(folder / "via.json", {"b": record}), images=folder / "images").items
    )

    assert items
    assert all(item.raw for item in items if isinstance(item, Rejection))


@pytest.mark.parametrize("opened", [read_via, lambda file, images: read_coco(file, images=images)])
@pytest.mark.parametrize(
    "content",
    [b"[" * 1_000_000, b'{"a":' * 300_000, b"\xff" * 100, b"", b"9" * 100_000, b"[1]"],
)
def test_a_file_that_is_no_data_set_is_refused(
    folder: Path, opened: Callable[..., Dataset], content: bytes
) -> None:
    file = folder / "hostile.json"
    file.write_bytes(content)

    with pytest.raises(InvalidRecord):
        opened(file, images=folder / "images")

"""Tags of images in a CSV file, joined by the images' names."""

from pathlib import Path
from unicodedata import normalize

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId, VehicleId
from services.contracts.names import MAX_TAGS
from services.formats.items import Dataset, FrameItem, Item, Rejection
from services.formats.tag_files import read_tag_file, with_tags


def image(name: str, **tags: str) -> FrameItem:
    return FrameItem(FrameId(name), VehicleId("v"), name, Path("/set") / name, tags=tags or None)


def joined(path: Path, text: str, *items: Item) -> list[Item]:
    file = path / "tags.csv"
    file.write_text(text, encoding="utf-8")
    return list(with_tags(Dataset("set", len(items), items), read_tag_file(file)).items)


def tags_of(items: list[Item]) -> list[dict[str, str] | None]:
    return [
        None if item.tags is None else dict(item.tags)
        for item in items
        if isinstance(item, FrameItem)
    ]


def test_an_image_gets_the_tags_of_its_name_beside_its_own(tmp_path: Path) -> None:
    text = "file_name,weather,road\na.jpg,rain,\nb.jpg,,\n"

    found = joined(
        tmp_path, text, image("a.jpg", weather="dry", light="day"), image("b.jpg"), image("c.jpg")
    )

    assert tags_of(found) == [{"weather": "rain", "light": "day"}, None, None]
    assert len(found) == 3


def test_folders_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    text = "file_name,camera\na.jpg,any\nleft/a.jpg,left\n"

    found = joined(tmp_path, text, image("drive/left/a.jpg"), image("drive/right/a.jpg"))

    assert tags_of(found) == [{"camera": "left"}, {"camera": "any"}]


def test_names_that_macos_decomposed_are_the_same(tmp_path: Path) -> None:
    text = f"file_name,weather\nleft/{normalize('NFC', 'é')}.jpg,rain\n"

    assert tags_of(joined(tmp_path, text, image(f"left/{normalize('NFD', 'é')}.jpg"))) == [
        {"weather": "rain"}
    ]


def test_a_name_without_an_image_is_refused_and_its_neighbours_go_through(tmp_path: Path) -> None:
    found = joined(tmp_path, "\ufefffile_name,weather\nx.jpg,fog\na.jpg,rain\n", image("a.jpg"))

    assert tags_of(found) == [{"weather": "rain"}]
    (refused,) = (item for item in found if isinstance(item, Rejection))
    assert (refused.reason, refused.location) == ("unknown_file_name", "tags.csv:2")
    assert refused.raw == b'{"file_name":"x.jpg","weather":"fog"}'


def test_an_image_with_too_many_tags_keeps_its_own(tmp_path: Path) -> None:
    own = {f"key{n}": "x" for n in range(MAX_TAGS)}

    found = joined(tmp_path, "file_name,weather\na.jpg,rain\n", image("a.jpg", **own))

    assert tags_of(found) == [own]
    assert [item.reason for item in found if isinstance(item, Rejection)] == ["invalid_tags"]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("name,weather\na.jpg,rain\n", "file_name and distinct keys"),
        ("file_name,weather,weather\na.jpg,rain,fog\n", "file_name and distinct keys"),
        ("", "file_name and distinct keys"),
        ("file_name,weather\n,rain\n", "tags.csv:2: no name"),
        ("file_name,weather\na.jpg,rain\na.jpg,fog\n", "tags.csv:3: no name"),
        ("file_name,weather\na.jpg,rain,more\n", "tags.csv:2: no name"),
        (f"file_name,weather\na.jpg,{'x' * 129}\n", "longer than 128"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, text: str, detail: str) -> None:
    with pytest.raises(InvalidRecord, match=detail) as caught:
        joined(tmp_path, text)

    assert caught.value.reason == "invalid_tags"


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tags.csv"
    file.write_bytes(b"file_name,weather\n\xff\xfe,rain\n")

    with pytest.raises(InvalidRecord, match=r"tags\.csv") as caught:
        read_tag_file(file)

    assert caught.value.reason == "unreadable_file"

"""A list of the review page as a file: what it says, and what is none."""

import csv
from io import StringIO
from pathlib import Path

import pytest
import typer

from services.annotation.review.csv_files import csv_table
from services.benchmark import results
from services.cli.work.label_errors import print_csv
from services.cli.work.listed_file import read_listed
from services.contracts.identity import Category, FrameId
from services.domain.mining.label_error import LabelError
from services.domain.mining.suspected_labels import SuspectedLabel
from services.formats.csv_cells import text_of
from services.formats.writers.tables import Table, TableFormat, table_writer

HEAD = "frame_id,region_id,category,score,x,y,width,height,needle_id\n"


def listed(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, newline="")
    return path


def test_regions_are_proposals_of_their_frames(tmp_path: Path) -> None:
    rows = "f1,r1,'=sign,.5,1,2,3,4,\nf1,r2,b,.5,1,2,3,4,n1\nf2,,,,,,,,\n"

    found = read_listed(listed(tmp_path, HEAD + rows))

    assert found.keys() == {"f1", "f2"}
    assert [(p.category, p.bbox, p.needle_id) for p in found[FrameId("f1")].values()] == [
        ("=sign", (1, 2, 3, 4), None),
        ("b", (1, 2, 3, 4), "n1"),
    ]
    assert found[FrameId("f2")] == {}
    assert read_listed(listed(tmp_path, "frame_id,similarity\nf9,0.5\n")) == {"f9": {}}


NAMES = ["sign", "'no entry'", "=sign", "'=sign", "''-", "-1", "@a", "'", "\tsign", 'a, "b"']


async def test_names_come_back_from_the_page_as_they_are(tmp_path: Path) -> None:
    rows = [(name, f"r{n}", name, 0.5, 1, 2, 3, 4, "") for n, name in enumerate(NAMES)]
    answer = csv_table("list", HEAD.strip().split(","), rows)
    text = "".join([str(part) async for part in answer.body_iterator])

    found = read_listed(listed(tmp_path, text))

    assert list(found) == NAMES
    assert [p.category for regions in found.values() for p in regions.values()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_writer_of_names_writes_the_cell_that_is_read_back(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    category, frame = Category(name), FrameId(name)
    box = (-1.0, 2.0, 3.0, 4.0)
    print_csv([SuspectedLabel(frame, LabelError.CATEGORY, box, category, category, 0.9)])
    (suspect,) = csv.DictReader(StringIO(capsys.readouterr().out, newline=""))
    with table_writer(Table("names", {"name": str}), TableFormat.CSV, tmp_path) as table:
        table.write([{"name": name}])
    with (tmp_path / "names.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    (benchmark,) = csv.DictReader(StringIO(results.as_csv([{"model": name}]), newline=""))

    cells = {suspect["frame_id"], suspect["annotated_as"], suspect["category"]}
    cells |= {row["name"], benchmark["model"]}
    assert len(cells) == 1
    assert not cells.pop().startswith(("=", "+", "-", "@", "\t", "\r"))
    assert {text_of(row["name"]), suspect["bbox"]} == {name, "-1 2 3 4"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("id\nf1\n", "no column frame_id"),
        (HEAD + "f1,r1,sign,.5,1,2,nan,4,\n", "no score or no box"),
        (HEAD + "f1,r1,sign,,1,2,3,4,\n", "no score or no box"),
        (HEAD + "f1,r1,sign,.5,1,2,-3,4,\n", "no score or no box"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=why):
        read_listed(listed(tmp_path, text))

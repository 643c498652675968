"""A list of the review page as a file: what it says, and what is none."""

from pathlib import Path

import pytest
import typer

from services.cli.work.listed_file import read_listed
from services.contracts.identity import FrameId

HEAD = "frame_id,region_id,category,score,x,y,width,height,needle_id\n"


def listed(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text)
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

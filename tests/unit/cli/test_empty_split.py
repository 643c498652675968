from dataclasses import replace
from pathlib import Path

from services.cli.empty_split import empty_split
from services.contracts.identity import DriveId, FrameId, VehicleId
from services.formats.items import FrameItem
from services.runtime.settings import Settings


def _frames(*drives: str | None) -> list[FrameItem]:
    item = FrameItem(FrameId("f"), VehicleId("v"), "gt.json:f", Path("f.jpg"))
    return [
        replace(item, frame_id=FrameId(f"f{at}"), drive_id=DriveId(drive) if drive else None)
        for at, drive in enumerate(drives)
    ]


def test_frames_of_one_drive_leave_one_side_empty_and_the_line_names_drive_and_remedy() -> None:
    line = empty_split(_frames(*["d1"] * 20), Settings())
    assert line is not None
    assert "reference is empty, so no needle can be found" in line
    assert "all 20 frames of one drive (d1)" in line
    assert "set GAZELOOP_SPLIT_BY=frame" in line


def test_frames_of_one_drive_that_are_split_by_frame_are_on_both_sides() -> None:
    assert empty_split(_frames(*["d1"] * 60), Settings(split_by="frame")) is None


def test_drives_on_both_sides_say_nothing() -> None:
    frames = _frames(*(f"d{number}" for number in range(100)))
    assert empty_split(frames, Settings()) is None


def test_a_share_that_leaves_the_haystack_empty_is_said() -> None:
    line = empty_split(_frames("d1", "d2", None), Settings(reference_share=0.9999999))
    assert line is not None
    assert line.startswith("The haystack is empty, so nothing can be retrieved: all 3 frames are")
    assert "GAZELOOP_REFERENCE_SHARE" in line


def test_no_frames_say_nothing() -> None:
    assert empty_split([], Settings()) is None

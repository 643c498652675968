from services.contracts.events import Split
from services.contracts.identity import DriveId, FrameId
from services.domain.splits import SplitRule


def split(frame: str, drive: str | None, *, seed: int = 0, by_frame: bool = False) -> Split:
    rule = SplitRule(0.1, seed, by_frame=by_frame)
    return rule.split_of(FrameId(frame), DriveId(drive) if drive else None)


def test_a_drive_never_straddles_the_split() -> None:
    for drive in (f"drive-{number}" for number in range(50)):
        assert len({split(f"{drive}-{frame}", drive) for frame in range(20)}) == 1


def test_the_reference_has_about_its_share_of_frames() -> None:
    splits = [split(f"frame-{number}", None) for number in range(5000)]
    assert 0.08 < splits.count(Split.REFERENCE) / len(splits) < 0.12


def test_by_frame_a_drive_is_split() -> None:
    assert len({split(f"frame-{n}", "drive", by_frame=True) for n in range(100)}) == 2


def test_another_seed_is_another_split() -> None:
    frames = [f"frame-{number}" for number in range(200)]
    assert [split(f, None) for f in frames] != [split(f, None, seed=1) for f in frames]

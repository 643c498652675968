"""People's verdicts per hour and agreement."""

import gc
import weakref
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

import pytest

from services.annotation.ports.reviews import Act, ReviewEvent
from services.annotation.review.annotator_work import PersonWork, Work, WorkCounts
from services.contracts.identity import FrameId, NeedleId, RegionId

START = datetime.fromisoformat("2026-05-04T10:00:00+00:00")
ONE, TWO = NeedleId("n1"), NeedleId("n2")


def event(
    by: str,
    minute: float,
    act: Act,
    *regions: str,
    needle: NeedleId = ONE,
    version: int = 1,
    undoes: int | None = None,
) -> ReviewEvent:
    return ReviewEvent(
        needle_id=needle,
        version=version,
        act=act,
        regions=tuple(map(RegionId, regions)),
        by=by,
        token_id="t",
        at=START + timedelta(minutes=minute),
        undoes=undoes,
        frame_id=FrameId("f") if act is Act.CORRECT else None,
    )


def work_of(acts: Sequence[ReviewEvent]) -> Work:
    """The work behind acts, oldest first."""
    counts = WorkCounts()
    for act in acts:
        counts.add_act(act)
    by_version = sorted(acts, key=lambda act: (act.needle_id, act.version))
    for _, acts_of in groupby(by_version, key=lambda act: act.needle_id):
        counts.add_needle([*acts_of])
    return counts.work()


def test_verdicts_per_hour_leave_out_pauses_and_the_act_after_them() -> None:
    work = work_of(
        [
            event("Ana", 0, Act.ACCEPT, "a", "b", "c"),
            event("Ben", 1, Act.ACCEPT, "x", needle=TWO),
            event("Ana", 2, Act.REJECT, "d", version=2),
            event("Ana", 4, Act.UNSURE, "e", version=3),
            event("Ana", 64, Act.ACCEPT, "f", version=4),
        ]
    )

    ana = work.people["Ana"]
    assert (ana.verdicts, ana.timed, ana.time) == (6, 2, timedelta(minutes=4))
    assert ana.per_hour == pytest.approx(30)
    assert work.people["Ben"] == PersonWork("Ben", verdicts=1)
    assert work.people["Ben"].per_hour is None
    assert work.time == {ONE: timedelta(minutes=4), TWO: timedelta(0)}


def test_people_agree_where_their_last_verdicts_in_force_are_equal() -> None:
    work = work_of(
        [
            event("Ana", 0, Act.ACCEPT, "a", "b", "c", "d", version=1),
            event("Ben", 1, Act.ACCEPT, "a", "b", version=2),
            event("Ben", 2, Act.REJECT, "b", version=3),
            event("Ben", 3, Act.UNSURE, "c", version=4),
            event("Ben", 4, Act.REJECT, "d", version=5),
            event("Ben", 5, Act.UNDO, "d", version=6, undoes=5),
        ]
    )

    for person in work.people.values():
        assert (person.compared, person.agreed) == (2, 1)
    assert work.people["Ben"].undone == 1
    low, high = work.people["Ana"].agreement_interval or (0, 0)
    assert 0 < low < 0.5 < high < 1
    assert work.confirmed == {ONE: 2}  # "a" and "d"; Ben's later verdicts on "b" and "c" count


def test_frames_corrected_are_counted_once_per_needle() -> None:
    work = work_of(
        [
            event("Ana", 0, Act.CORRECT, version=1),
            event("Ana", 1, Act.CORRECT, version=2),
            event("Ana", 2, Act.CORRECT, version=1, needle=TWO),
            event("Ana", 3, Act.UNDO, version=2, needle=TWO, undoes=1),
        ]
    )

    assert work.corrected == {ONE: 1, TWO: 0}
    assert work.people["Ana"].corrections == 3


def test_acts_are_counted_without_keeping_them() -> None:
    counts = WorkCounts()
    act = event("Ana", 0, Act.ACCEPT, "a")
    counts.add_act(act)
    counts.add_needle([act])
    counted = weakref.ref(act)
    del act
    gc.collect()
    assert counted() is None
    assert counts.work().people["Ana"].verdicts == 1

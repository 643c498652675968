"""The work of each failure mode on the start page."""

from dataclasses import replace

from services.annotation.ports.needle_lists import NeedleGroup, ReviewWork
from services.annotation.ports.needle_modes import FailureModeCounts
from services.annotation.review.overview_routes import mode_views
from services.contracts.events import ErrorType
from services.domain.ports.needles import ReviewProgress
from tests.samples import CAPTURED_AT, needle_found

NEEDLE = needle_found("f")


def mode(family: str | None) -> FailureModeCounts:
    return FailureModeCounts(
        detector="d@1",
        category=NEEDLE.category,
        error_type=ErrorType.BACKGROUND,
        true_category=None,
        size=1,
        exemplar=NEEDLE,
        first_seen=CAPTURED_AT,
        last_seen=CAPTURED_AT,
        trend=(1,),
        family=family,
    )


def group(family: str | None, progress: ReviewProgress, frames: int) -> NeedleGroup:
    work = ReviewWork(shortlists=1, frames=frames)
    error = (ErrorType.BACKGROUND, None)
    return NeedleGroup("d@1", NEEDLE.category, *error, family, progress, 1, work)


def test_modes_have_the_work_of_their_groups_which_are_read_once() -> None:
    groups = [
        group("f1", ReviewProgress.OPEN, 3),
        group("f2", ReviewProgress.OPEN, 5),
        group("f1", ReviewProgress.DONE, 4),
        replace(group("f1", ReviewProgress.DONE, 70), detector="d@2"),
    ]

    views = [*mode_views([mode("f1"), mode(None), mode("f2")], iter(groups))]

    assert [view.work.frames for view in views] == [7, 0, 5]
    assert [view.mode.family for view in views] == ["f1", None, "f2"]

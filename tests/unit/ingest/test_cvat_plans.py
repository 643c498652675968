"""No task twice, and no frame in two of them."""

from services.annotation.cvat.plans import planned
from tests.unit.ingest.test_exporters import frame

A, B, C = frame("a"), frame("b"), frame("c")


def names(*plans: object) -> list[tuple[str, list[str]]]:
    return [(plan.name, [one.frame_id for one in plan.frames]) for plan in plans]  # type: ignore[attr-defined]


def test_each_unit_is_a_task_under_its_own_name() -> None:
    plans = planned({"shortlist 1": [A, B], "family 2": [C]}, (), ())

    assert names(*plans) == [("gazeloop shortlist 1", ["a", "b"]), ("gazeloop family 2", ["c"])]


def test_a_frame_that_two_units_ask_about_is_in_the_first_ones_task_alone() -> None:
    plans = planned({"shortlist 1": [A, B], "shortlist 2": [B], "shortlist 3": [B, C]}, (), ())

    assert names(*plans) == [("gazeloop shortlist 1", ["a", "b"]), ("gazeloop shortlist 3", ["c"])]


def test_what_has_grown_gets_a_further_task_for_what_is_new() -> None:
    there = {"gazeloop shortlist 1", "gazeloop shortlist 1 part 2"}
    plans = planned({"shortlist 1": [A, B, C]}, there, {A.file_name, B.file_name})

    assert names(*plans) == [("gazeloop shortlist 1 part 3", ["c"])]


def test_nothing_new_is_no_task() -> None:
    assert not list(planned({"shortlist 1": [A]}, {"gazeloop shortlist 1"}, {A.file_name}))

from datetime import timedelta

import numpy as np
import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import Category, DriveId, NeedleId, family_id
from services.domain.failure_modes import FailureMode
from services.domain.mining.families import Family, Member, families
from tests import samples

BACKGROUND = FailureMode(ErrorType.BACKGROUND)


def member(
    name: str,
    angle: float,
    minute: int = 0,
    *,
    mode: FailureMode = BACKGROUND,
    answered: bool = False,
) -> Member:
    return Member(
        needle_id=NeedleId(name),
        detector=samples.DETECTOR,
        category=samples.STOP_SIGN,
        mode=mode,
        drive=DriveId("d1"),
        captured_at=samples.CAPTURED_AT + timedelta(minutes=minute),
        vector=np.array([np.cos(angle), np.sin(angle)], np.float32),
        answered=answered,
    )


def gathered(*members: Member, drives_after: int = 0, quiet_drives: int = 2) -> list[Family]:
    drives = [
        (DriveId(f"later-{n}"), samples.CAPTURED_AT + timedelta(days=1))
        for n in range(drives_after)
    ]
    return families(members, likeness=0.9, drives=drives, quiet_drives=quiet_drives)


def test_needles_that_look_alike_are_a_family_and_the_largest_comes_first() -> None:
    large, small = gathered(member("a", 1.5), member("b", 0.0, 1), member("c", 0.1, 2))
    assert (large.needles, small.needles) == (("b", "c"), ("a",))
    assert large.first_seen < large.last_seen


def test_other_modes_and_errors_of_class_are_other_families() -> None:
    as_car, as_van = (FailureMode(ErrorType.CLASSIFICATION, Category(c)) for c in ("car", "van"))
    found = gathered(member("a", 0), member("b", 0, mode=as_car), member("c", 0, mode=as_van))
    assert [family.size for family in found] == [1, 1, 1]
    assert {family.true_category for family in found} == {None, "car", "van"}


def test_the_exemplar_is_the_member_most_like_all_others() -> None:
    (family,) = gathered(member("a", 0.0), member("b", 0.2, 1), member("c", 0.4, 2))
    assert family.exemplar == "b"


def test_a_family_keeps_its_id_while_it_grows() -> None:
    (before,) = gathered(member("a", 0.0))
    (after,) = gathered(member("a", 0.0), member("b", 0.1, 1))
    assert before.family_id == after.family_id == family_id(NeedleId("a"))


def test_a_family_that_loses_members_keeps_its_id_with_its_founder() -> None:
    whole = gathered(member("a", 0.0), member("b", 0.1, 1), member("c", 1.5, 2))
    rest = gathered(member("a", 0.0), member("c", 1.5, 2))
    assert {family.family_id for family in whole} == {family.family_id for family in rest}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_needles_become_known_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members = [member(f"n{n}", angle, n) for n, angle in enumerate(rng.uniform(0, 6, 40))]
    shuffled = [members[place] for place in rng.permutation(40)]
    assert gathered(*members) == gathered(*shuffled)


def test_an_answered_family_is_resolved_after_quiet_drives_and_reopened_by_a_new_member() -> None:
    old = member("a", 0.0, answered=True)
    assert not gathered(old, drives_after=1)[0].resolved
    assert gathered(old, drives_after=2)[0].resolved
    again = member("b", 0.1, minute=2 * 24 * 60)
    assert not gathered(old, again, drives_after=2)[0].resolved


def test_a_family_that_nobody_answered_stays_open() -> None:
    assert not gathered(member("a", 0.0), drives_after=9)[0].resolved


def test_without_needles_there_are_no_families() -> None:
    assert gathered() == []

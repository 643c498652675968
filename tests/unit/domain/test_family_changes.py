"""Merges and splits, from who was in which family before and after."""

from services.contracts.identity import FamilyId, NeedleId
from services.domain.mining.family_changes import Change, FamilyChange, family_changes


def families(**of: str) -> dict[NeedleId, FamilyId]:
    """Needles by the letters of each family: `A="abc"`."""
    return {NeedleId(needle): FamilyId(name) for name, needles in of.items() for needle in needles}


def test_a_family_that_another_takes_in_has_merged() -> None:
    before, after = families(A="ab", B="cde"), families(A="abcde")

    assert family_changes(before, after) == [
        FamilyChange(Change.MERGED, FamilyId("B"), FamilyId("A"), 3)
    ]


def test_a_part_that_becomes_a_family_of_its_own_was_split_off() -> None:
    before, after = families(A="abcd"), families(A="ab", C="cd")

    assert family_changes(before, after) == [
        FamilyChange(Change.SPLIT, FamilyId("A"), FamilyId("C"), 2)
    ]


def test_growing_shrinking_and_going_over_are_no_changes() -> None:
    before, after = families(A="abx", B="cd"), families(A="abn", B="cdx", N="m")

    assert family_changes(before, after) == []


def test_a_family_all_of_whose_needles_are_retracted_has_not_merged() -> None:
    assert family_changes(families(A="ab", B="c"), families(A="ab")) == []


def test_a_family_that_falls_apart_went_where_most_of_it_is() -> None:
    before, after = families(A="abcde"), families(X="ab", Y="cde")

    assert family_changes(before, after) == [
        FamilyChange(Change.MERGED, FamilyId("A"), FamilyId("Y"), 3)
    ]

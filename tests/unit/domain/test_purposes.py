"""What a budget is spent for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.identity import Category
from services.domain.shortlists.purposes import Finding, Purpose, divided, rare_of, shares_of

COVERAGE, RARE, ERRORS = Purpose
FINDINGS = st.builds(Finding, st.sampled_from(Purpose), st.floats(0, 100))
COUNTS = st.dictionaries(st.sampled_from(Purpose), st.integers(0, 50))


def test_a_budget_is_divided_equally_until_something_is_found() -> None:
    equal = dict.fromkeys(Purpose, pytest.approx(1 / 3))
    assert shares_of([]) == equal
    assert shares_of([Finding(purpose, 2.0) for purpose in Purpose]) == equal
    assert shares_of([Finding(RARE, 0.0)]) == equal


def test_what_finds_more_errors_per_frame_gets_more() -> None:
    shares = shares_of([*[Finding(ERRORS, 3.0)] * 20, *[Finding(COVERAGE, 1.0)] * 20])
    assert shares[COVERAGE] < shares[RARE] < shares[ERRORS]


def test_few_findings_change_little() -> None:
    few, many = (
        shares_of([Finding(COVERAGE, 1.0)] * 50 + [Finding(ERRORS, 3.0)] * n) for n in (1, 50)
    )
    assert 1 / 3 < few[ERRORS] < many[ERRORS]


@given(st.lists(FINDINGS))
def test_shares_add_up_and_no_purpose_is_given_up(findings: list[Finding]) -> None:
    shares = shares_of(findings)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 1 / 6 - 1e-9


@given(st.integers(0, 200), st.lists(FINDINGS, max_size=5), COUNTS)
def test_every_frame_of_a_budget_has_one_purpose(
    frames: int, findings: list[Finding], waiting: dict[Purpose, int]
) -> None:
    parts = divided(frames, shares_of(findings), waiting)
    assert sum(parts.values()) == frames
    assert min(parts.values()) >= 0


def test_frames_that_come_one_by_one_are_divided_as_all_at_once() -> None:
    shares = {COVERAGE: 0.25, RARE: 0.25, ERRORS: 0.5}
    waiting = dict.fromkeys(Purpose, 0)
    for _ in range(40):
        for purpose, count in divided(1, shares, waiting).items():
            waiting[purpose] += count
    assert waiting == divided(40, shares, {}) == {COVERAGE: 10, RARE: 10, ERRORS: 20}


def test_categories_with_fewer_objects_than_the_mean_are_rare() -> None:
    car, bus, tram = map(Category, ("car", "bus", "tram"))
    assert rare_of({car: 90, bus: 40, tram: 5}) == {bus, tram}
    assert rare_of({car: 7, bus: 7}) == set()
    assert rare_of({}) == set()

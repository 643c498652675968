from services.annotation.review.questions import closest, step_of
from services.contracts.identity import Category

STOP = Category("stop sign")
KNOWN = [STOP, Category("street lamp"), Category("Yield")]


def test_a_misspelt_label_is_taken_for_the_category_it_is_most_like() -> None:
    assert closest("Stop_sgn", KNOWN) == STOP
    assert closest("YIELD", KNOWN) == "Yield"


def test_a_label_that_is_like_nothing_is_taken_for_nothing() -> None:
    assert closest("kiosk", KNOWN) is None
    assert closest("kiosk", []) is None


def test_questions_are_walked_through_in_their_order() -> None:
    step = step_of(["/a", "/b", "/c"], "/b")

    assert (step.number, step.of, step.previous, step.following) == (2, 3, "/a", "/c")
    assert step_of(["/a"], "/a").following is None


def test_a_question_that_is_open_no_more_leads_to_the_first_that_is() -> None:
    assert step_of(["/a", "/b"], "/z").following == "/a"
    assert step_of([], "/z").following is None

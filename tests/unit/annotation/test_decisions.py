from datetime import UTC, datetime

from services.annotation.decisions import Seen, projection_of, review_of
from services.annotation.ports.reviews import Act, ReviewEvent
from services.contracts.identity import NeedleId, RegionId
from services.domain.ports.needles import ReviewProgress

AT = datetime(2026, 5, 4, tzinfo=UTC)
A, B = RegionId("a"), RegionId("b")


def event(
    version: int,
    act: Act,
    *regions: RegionId,
    by: str = "Ana",
    undoes: int | None = None,
    act_id: str = "",
    verdict: Act | None = None,
) -> ReviewEvent:
    return ReviewEvent(
        NeedleId("n"),
        version,
        act,
        regions,
        by,
        "t",
        AT,
        undoes=undoes,
        act_id=act_id,
        verdict=verdict,
    )


def test_the_last_decision_about_a_candidate_counts() -> None:
    review = review_of([event(1, Act.ACCEPT, A, B), event(2, Act.REJECT, A)])

    assert {region: decision.act for region, decision in review.decisions.items()} == {
        A: Act.REJECT,
        B: Act.ACCEPT,
    }


def test_an_undone_decision_gives_way_to_the_one_before() -> None:
    review = review_of(
        [event(1, Act.ACCEPT, A), event(2, Act.REJECT, A), event(3, Act.UNDO, A, undoes=2)]
    )

    assert review.decisions[A].act is Act.ACCEPT
    undoable = review.undoable("Ana")
    assert undoable is not None
    assert undoable.version == 1


def test_what_someone_else_has_touched_since_cannot_be_undone() -> None:
    review = review_of([event(1, Act.ACCEPT, A, B), event(2, Act.REJECT, A, by="Ben")])

    assert review.undoable("Ana") is None
    assert review.undoable("Ben") is not None


def test_a_form_that_has_not_seen_the_last_decision_is_stale() -> None:
    review = review_of([event(1, Act.ACCEPT, A)])

    assert review.stale(Seen({A: 0, B: 0})) == [A]
    assert review.stale(Seen({A: 1, B: 0})) == []


def test_own_acts_that_the_page_shows_already_make_no_form_stale() -> None:
    review = review_of([event(1, Act.ACCEPT, A, act_id="x"), event(2, Act.REJECT, A, act_id="y")])

    assert review.stale(Seen({A: 0}, acts=["x", "y"])) == []
    assert review.stale(Seen({A: 0}, acts=["x"])) == [A]
    assert review.stale(Seen({A: 1}, version=1, acts=["y"])) == []


def test_an_act_of_somebody_else_between_own_ones_makes_a_form_stale() -> None:
    review = review_of(
        [
            event(1, Act.ACCEPT, A, B, act_id="x"),
            event(2, Act.REJECT, A, by="Ben"),
            event(3, Act.REJECT, A, act_id="y"),
        ]
    )

    assert review.stale(Seen({A: 0, B: 0}, acts=["x", "y"])) == [A]


def test_an_undo_that_the_page_shows_hands_a_candidate_back() -> None:
    review = review_of(
        [event(1, Act.ACCEPT, A), event(2, Act.UNDO, A, undoes=1, act_id="z")],
    )

    assert review.stale(Seen({A: 1}, version=1, acts=["z"])) == []
    assert review.stale(Seen({A: 1}, version=1)) == [A]


def test_the_order_of_undoing_is_that_of_ones_own_acts_latest_first() -> None:
    review = review_of(
        [
            event(1, Act.ACCEPT, A),
            event(2, Act.REJECT, B, by="Ben"),
            event(3, Act.REJECT, A),
            event(4, Act.UNDO, A, undoes=3),
            event(5, Act.ACCEPT, A),
        ]
    )

    assert review.undo_order("Ana") == [5, 1]


def test_a_review_is_done_once_every_candidate_is_decided() -> None:
    first, second = event(1, Act.ACCEPT, A), event(2, Act.REJECT, B)

    def progress(*events: ReviewEvent) -> ReviewProgress:
        return projection_of(review_of(events), [A, B], 1, events[-1]).progress

    assert progress(first) is ReviewProgress.STARTED
    assert progress(first, second) is ReviewProgress.DONE
    assert progress(first, event(2, Act.UNDO, A, undoes=1)) is ReviewProgress.OPEN


def test_an_unsure_verdict_leaves_nothing_to_decide() -> None:
    events = [event(1, Act.ACCEPT, A), event(2, Act.UNSURE, B)]

    projection = projection_of(review_of(events), [A, B], 1, events[-1])

    assert projection.progress is ReviewProgress.DONE
    assert (projection.decided, projection.accepted, projection.unsure) == (2, 1, 1)


def test_a_correction_decides_its_candidate_until_it_is_undone() -> None:
    corrected = event(1, Act.CORRECT, A, verdict=Act.REJECT)
    older = event(2, Act.CORRECT)

    before = review_of([corrected, older])
    after = review_of([corrected, older, event(3, Act.UNDO, A, undoes=1)])

    assert before.decisions[A].act is Act.REJECT
    assert before.corrections == [corrected, older]
    assert after.decisions == {}


def test_decisions_about_candidates_that_have_left_the_shortlist_do_not_count() -> None:
    events = [event(1, Act.ACCEPT, A)]

    projection = projection_of(review_of(events), [B], 2, events[0])

    assert (projection.decided, projection.progress) == (0, ReviewProgress.OPEN)

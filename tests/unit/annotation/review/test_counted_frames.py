"""Lists of the frames behind a number, read in pages."""

from services.annotation.review.counted_frames import CountedFrames, CountedView
from services.contracts.identity import FrameId
from services.domain.metrics.outcomes import Outcome, OutcomeFilter
from tests.fakes.matches import InMemoryMatchStore
from tests.samples import DETECTOR, frame_matched

WRONG = OutcomeFilter(Outcome.WRONG, 0.5)


async def test_pages_follow_each_other_until_all_frames_were_read() -> None:
    matches = InMemoryMatchStore()
    await matches.record([frame_matched(f"f{k:03}") for k in range(100)])
    counted, view = CountedFrames(matches), CountedView(DETECTOR, WRONG)

    listed = []
    for _ in range(3):
        page = await counted.page(view)
        listed += [frame.frame_id for frame in page.frames]
        view = CountedView(DETECTOR, WRONG, page.after)

    assert listed == [f"f{k:03}" for k in range(100)]
    assert page.after is None


async def test_a_search_that_finds_little_ends_and_says_where_it_goes_on() -> None:
    matches = InMemoryMatchStore()
    await matches.record([frame_matched(f"f{k}") for k in range(9)])
    counted = CountedFrames(matches, most_read=4)

    page = await counted.page(CountedView(DETECTOR, OutcomeFilter(Outcome.RIGHT, 0.5)))

    assert (page.frames, page.after) == ([], FrameId("f3"))


def test_a_list_survives_its_address() -> None:
    params = {"outcome": "confused", "score": "0.25", "detector": "d@1", "category": "a b"}
    params |= {"true_category": "c&d", "subset": "H-S", "after": "f/1"}
    view = CountedView.of(params)

    assert view is not None
    assert view.query(view.after) == (
        "?detector=d%401&outcome=confused&score=0.25&category=a+b&true_category=c%26d"
        "&subset=H-S&after=f%2F1"
    )
    assert CountedView.of({**params, "score": "nan"}) is None
    assert CountedView.of({**params, "outcome": "lost"}) is None

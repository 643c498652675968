"""How often what grows is done again."""

from services.runtime.pace import Pace
from tests.fakes.clock import FakeClock


def worked(pace: Pace, clock: FakeClock, *, seconds: float) -> None:
    with pace.taken():
        clock.advance(seconds)


def test_work_is_due_at_once_and_then_after_a_while() -> None:
    clock = FakeClock()
    pace = Pace(clock, every_s=10, share=0.1)
    assert pace.is_due()

    worked(pace, clock, seconds=0.5)

    clock.advance(9.25)
    assert not pace.is_due()
    assert pace.wait_s() == 0.25
    clock.advance(0.25)
    assert pace.is_due()
    clock.advance(5)
    assert pace.wait_s() == 0


def test_work_takes_no_more_than_its_share_of_the_time() -> None:
    clock = FakeClock()
    pace = Pace(clock, every_s=10, share=0.125)
    worked(pace, clock, seconds=5)

    worked(pace, clock, seconds=5)

    clock.advance(34)
    assert not pace.is_due()
    clock.advance(1)
    assert pace.is_due()


def test_a_single_long_run_does_not_postpone_the_next() -> None:
    """One that includes compilation would hold back figures for minutes."""
    clock = FakeClock()
    pace = Pace(clock, every_s=10, share=0.1)
    worked(pace, clock, seconds=0)  # there is nothing to compute yet, and nothing compiled

    worked(pace, clock, seconds=60)

    assert pace.is_due()


def test_the_second_long_run_in_succession_postpones_the_next() -> None:
    clock = FakeClock()
    pace = Pace(clock, every_s=10, share=0.1)
    worked(pace, clock, seconds=60)

    worked(pace, clock, seconds=50)

    assert pace.wait_s() == 450


def test_a_quarter_of_the_first_run_postpones_the_second() -> None:
    """After a restart, what reads all records takes long at once, and is no compilation."""
    clock = FakeClock()
    pace = Pace(clock, every_s=1, share=0.05)

    worked(pace, clock, seconds=40)

    assert pace.wait_s() == 160

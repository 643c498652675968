from services.runtime.kafka.lag import Partition, Position
from services.runtime.kafka.watchdog import Watchdog

ONE = Partition("gaze.frames", 0)
OTHER = Partition("gaze.frames", 1)


def test_nothing_to_do_is_not_a_stall() -> None:
    watchdog = Watchdog()
    watchdog.observe(0.0, {ONE: Position(5, 5)})
    assert watchdog.observe(1000.0, {ONE: Position(5, 5)}) == 0.0


def test_lag_without_a_commit_is_a_stall_that_grows() -> None:
    watchdog = Watchdog()
    watchdog.observe(0.0, {ONE: Position(5, 6)})
    assert watchdog.observe(10.0, {ONE: Position(5, 7)}) == 10.0
    assert watchdog.observe(30.0, {ONE: Position(5, 9)}) == 30.0


def test_a_commit_ends_the_stall() -> None:
    watchdog = Watchdog()
    watchdog.observe(0.0, {ONE: Position(5, 9)})
    assert watchdog.observe(10.0, {ONE: Position(6, 9)}) == 0.0
    assert watchdog.observe(15.0, {ONE: Position(6, 9)}) == 5.0


def test_the_stall_begins_when_the_lag_does() -> None:
    watchdog = Watchdog()
    watchdog.observe(0.0, {ONE: Position(5, 5)})
    watchdog.observe(100.0, {ONE: Position(5, 5)})
    assert watchdog.observe(110.0, {ONE: Position(5, 6)}) == 10.0


def test_other_partitions_are_a_new_beginning() -> None:
    watchdog = Watchdog()
    watchdog.observe(0.0, {ONE: Position(5, 9)})
    assert watchdog.observe(10.0, {OTHER: Position(5, 9)}) == 0.0


def test_steps_of_a_long_batch_are_progress_without_a_commit() -> None:
    watchdog = Watchdog()
    watchdog.observe(0.0, {ONE: Position(5, 9)}, steps=0)
    assert watchdog.observe(400.0, {ONE: Position(5, 9)}, steps=3) == 0.0
    assert watchdog.observe(500.0, {ONE: Position(5, 9)}, steps=3) == 100.0

from services.runtime.kafka.assignment import Assignment
from services.runtime.kafka.lag import Partition, Position

FIRST = Partition("gaze.frames", 0)
SECOND = Partition("gaze.frames", 1)
POSITIONS = {FIRST: Position(5, 9), SECOND: Position(2, 3)}


def test_a_replica_accounts_for_the_partitions_that_it_owns() -> None:
    assignment = Assignment(frozenset({FIRST}), {"gaze.frames": 2})
    assert assignment.accountable(POSITIONS) == {FIRST: Position(5, 9)}


def test_a_standby_accounts_for_nothing() -> None:
    assert Assignment(frozenset(), {"gaze.frames": 2}).accountable(POSITIONS) == {}


def test_where_a_topic_is_unknown_a_replica_accounts_for_the_whole_group() -> None:
    assignment = Assignment(frozenset(), {"gaze.frames": 0})
    assert assignment.lacks_topics()
    assert assignment.accountable(POSITIONS) == POSITIONS


def test_a_replica_that_never_was_in_its_group_accounts_for_the_whole_group() -> None:
    assert Assignment(frozenset(), {}).accountable(POSITIONS) == POSITIONS

"""Reading lag while the broker changes; tests/integration reads it from a real one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from kafka import IsolationLevel, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import NotCoordinatorError

from services.contracts.errors import MissingTopic
from services.runtime.kafka import admin_connection
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.settings import Settings

_FRAMES = TopicPartition("gaze.frames", 0)


@dataclass
class _At:
    offset: int


class _Admin:
    """An admin client that keeps the coordinator that it has found first."""

    def __init__(self, *, coordinator_moved: bool, open_transaction_at: int = 5) -> None:
        self._coordinator_moved = coordinator_moved
        self._stable_end = open_transaction_at

    def describe_topics(self, names: Sequence[str]) -> list[dict[str, Any]]:
        partitions = [{"partition_index": 0}]
        return [{"name": name, "error_code": 0, "partitions": partitions} for name in names]

    def list_group_offsets(self, groups: Mapping[str, object]) -> dict[str, object]:
        if self._coordinator_moved:
            raise NotCoordinatorError
        return {group: {_FRAMES: _At(2)} for group in groups}

    def list_partition_offsets(
        self,
        wanted: Mapping[object, object],
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[object, _At]:
        end = self._stable_end if isolation_level is IsolationLevel.READ_COMMITTED else 5
        return {item: _At(end if at is OffsetSpec.LATEST else 0) for item, at in wanted.items()}

    def close(self) -> None:
        pass


def test_a_coordinator_that_has_moved_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admins = iter([_Admin(coordinator_moved=True), _Admin(coordinator_moved=False)])
    monkeypatch.setattr(admin_connection, "connect_admin", lambda *_: next(admins))
    with LagReader(BrokerAddress.parse("127.0.0.1:9092"), Settings()) as lag:
        found = lag.lags({"gazeloop.embedder": ["gaze.frames"]})
    assert found == {("gazeloop.embedder", "gaze.frames"): 3}


def test_a_missing_topic_says_how_it_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = _Admin(coordinator_moved=False)
    absent = {"name": "gaze.frames", "error_code": 3, "partitions": []}
    monkeypatch.setattr(admin, "describe_topics", lambda _: [absent])
    monkeypatch.setattr(admin_connection, "connect_admin", lambda *_: admin)
    with (
        LagReader(BrokerAddress.parse("127.0.0.1:9092"), Settings()) as lag,
        pytest.raises(MissingTopic, match=r"no topic gaze\.frames: run `gazeloop topics create`"),
    ):
        lag.lags({"gazeloop.embedder": ["gaze.frames"]})


def test_what_no_reader_can_see_yet_is_no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = _Admin(coordinator_moved=False, open_transaction_at=3)
    monkeypatch.setattr(admin_connection, "connect_admin", lambda *_: admin)
    with LagReader(BrokerAddress.parse("127.0.0.1:9092"), Settings()) as lag:
        found = lag.lags({"gazeloop.embedder": ["gaze.frames"]})
    assert found == {("gazeloop.embedder", "gaze.frames"): 1}

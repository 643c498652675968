"""Events that expired before a service read them, of a broker that this user sees only in part."""

from collections.abc import Mapping, Sequence

import pytest

from services.app.doctor.finding import Level
from services.app.doctor.kafka import _expired, _expired_of_bridge
from services.contracts.errors import BrokerUnavailable, GazeloopError, InvalidSettings
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader, Partition
from services.runtime.settings import Settings


def _found(monkeypatch: pytest.MonkeyPatch, embedder: GazeloopError) -> list[str]:
    """What is reported if the broker answers about the embedder's group with this error."""

    def expired(
        _: LagReader, subscriptions: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[Partition, int]]:
        (group,) = subscriptions
        if group == "gazeloop.embedder":
            raise embedder
        return {group: {Partition("gaze.frames", 0): 3} if group == "gazeloop.fp_miner" else {}}

    monkeypatch.setattr(LagReader, "expired", expired)
    broker = BrokerAddress.parse("127.0.0.1:1")
    return [finding.what for finding in _expired(broker, Settings(), {"gaze.frames"})]


def test_a_group_that_this_user_may_not_see_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = _found(monkeypatch, InvalidSettings("not granted"))
    assert problem.startswith("3 events of gaze.frames were deleted before gazeloop.fp_miner")


def test_a_broker_that_stops_answering_is_not_taken_for_a_missing_permission(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BrokerUnavailable):
        _found(monkeypatch, BrokerUnavailable("no answer"))


def test_what_receivers_tools_and_the_bridge_lost_is_reported_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        LagReader,
        "expired",
        lambda _, subscriptions: {
            group: {Partition(topic, 0): 3 for topic in topics}
            for group, topics in subscriptions.items()
        },
    )
    settings = Settings(
        kafka="127.0.0.1:1",
        webhooks="shop=https://shop.example/gaze",
        label_studio_url="https://label.example",
        bridge_topic="detector.output",
    )
    own = _expired(BrokerAddress.of(settings), settings, {"gaze.reannotation"})
    problems = [finding.what for finding in (*own, *_expired_of_bridge(settings))]
    for lost in (
        "gaze.reannotation were deleted before gazeloop.webhooks.shop",
        "gaze.reannotation were deleted before gazeloop.label_studio",
        "detector.output were deleted before gazeloop.bridge",
    ):
        assert any(lost in problem for problem in problems)


def test_a_bridges_cluster_that_does_not_answer_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def expired(*_: object) -> dict[str, dict[Partition, int]]:
        raise BrokerUnavailable("no answer")

    monkeypatch.setattr(LagReader, "expired", expired)
    settings = Settings(bridge_topic="detector.output", bridge_kafka="127.0.0.1:1")
    (finding,) = _expired_of_bridge(settings)
    assert finding.level is Level.WARNING
    assert finding.what == "what the bridge has read of detector.output is not known: no answer"

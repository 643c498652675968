"""`gazeloop status` of a cluster that answers about everything."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from services.app import status
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.settings import Settings


async def test_every_group_that_reads_our_topics_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lags(
        _: LagReader, subscriptions: Mapping[str, Sequence[str]]
    ) -> dict[tuple[str, str], int]:
        return {(group, topic): 0 for group, topics in subscriptions.items() for topic in topics}

    def members(
        _: BrokerAddress, __: Settings, subscriptions: Mapping[str, Sequence[str]]
    ) -> dict[str, int | None]:
        return dict.fromkeys(subscriptions, 1)

    monkeypatch.setattr(LagReader, "lags", lags)
    monkeypatch.setattr(status, "_members", members)
    monkeypatch.setattr(status, "count_unsettled", lambda *_: 0)
    settings = Settings(
        data=tmp_path,
        kafka="127.0.0.1:1",
        webhooks="shop=https://shop.example/gaze",
        label_studio_url="https://label.example",
        bridge_topic="detector.output",
    )

    found = await status.read_status(settings)

    tools = {"gazeloop.webhooks.shop", "gazeloop.label_studio", "gazeloop.bridge"}
    assert tools <= found.members.keys()
    assert ("gazeloop.label_studio", "gaze.ground-truth") in found.lag

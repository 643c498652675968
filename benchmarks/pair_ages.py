"""How soon one event follows from another: by the broker's own times, as the topics have them."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from services.contracts.codec import decode
from services.contracts.events import Event
from services.contracts.identity import FrameId
from services.contracts.needles import NeedleFound, ShortlistPublished
from services.contracts.topics import (
    EMBEDDED,
    FRAMES,
    GROUND_TRUTH,
    NEEDLES,
    REANNOTATION_TOPIC,
    Topic,
)
from services.runtime.kafka.broker import BrokerAddress


def pair_ages(broker: BrokerAddress, since: float) -> dict[str, dict[str, float]]:
    """Quantiles in seconds of each pair of stages. Read one after the other: memory is for ids.

    A needle may have its first shortlist much later, when something like it comes: this counts too.
    So does waiting for the haystack to grow less fast, in a run without `--grown`. What counts in
    `listed_to_shortlist` begins with the needle or the newest frame on its first shortlist,
    whichever comes later: that leaves out waiting for frames, but not for a budget.

    Parameters
    ----------
    since : seconds since 1970; frames that were published before do not count
    """
    frames = {key: at for key, at in _times(broker, FRAMES) if at >= since}
    needles: dict[str, tuple[FrameId, float]] = {}
    for event, at in _events(broker, NEEDLES):
        if isinstance(event, NeedleFound) and event.frame_id in frames:
            needles.setdefault(event.needle_id, (event.frame_id, at))
    shortlists: dict[str, tuple[set[FrameId], float]] = {}
    for event, at in _events(broker, REANNOTATION_TOPIC):
        if (
            isinstance(event, ShortlistPublished)
            and event.candidates
            and event.needle_id in needles
        ):
            shortlists.setdefault(event.needle_id, (event.chosen_frames(), at))
    of_needles = {frame_id for frame_id, _ in needles.values()}
    truths = {key: at for key, at in _times(broker, GROUND_TRUTH) if key in of_needles}
    first: dict[str, float] = {}
    for key, at in _times(broker, EMBEDDED):
        if key in frames:
            first.setdefault(key, at)
    return {
        "frame_to_embedded": _quantiles([at - frames[key] for key, at in first.items()]),
        "ground_truth_to_needle": _quantiles([at - truths[key] for key, at in needles.values()]),
        "needle_to_shortlist": _quantiles(
            [at - needles[key][1] for key, (_, at) in shortlists.items()]
        ),
        "listed_to_shortlist": _quantiles(
            [
                at - max([needles[key][1], *(first.get(frame_id, since) for frame_id in listed)])
                for key, (listed, at) in shortlists.items()
            ]
        ),
        "ground_truth_to_shortlist": _quantiles(
            [at - truths[needles[key][0]] for key, (_, at) in shortlists.items()]
        ),
    }


def _quantiles(ages: list[float]) -> dict[str, float]:
    if not ages:
        return {"count": 0}
    p50, p99 = np.quantile(ages, [0.5, 0.99])
    return {"count": len(ages), "p50_s": round(float(p50), 3), "p99_s": round(float(p99), 3)}


def _events(broker: BrokerAddress, topic: Topic) -> Iterator[tuple[Event, float]]:
    for record in _records(broker, topic):
        yield decode(topic.name, record.value), record.timestamp / 1000


def _times(broker: BrokerAddress, topic: Topic) -> Iterator[tuple[str, float]]:
    for record in _records(broker, topic):
        yield record.key.decode(), record.timestamp / 1000


def _records(broker: BrokerAddress, topic: Topic) -> Iterator[Any]:
    consumer = KafkaConsumer(
        **broker.client_options,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=1 << 22,
    )
    with closing(consumer):
        numbers = consumer.partitions_for_topic(topic.name) or ()
        partitions = [TopicPartition(topic.name, number) for number in numbers]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=200).values():
                yield from records

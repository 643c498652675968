"""The groups in which settings are listed."""

from collections.abc import Iterator, Mapping
from typing import Final

from services.runtime.settings import Settings

_FIRST: Final[Mapping[str, str]] = {
    "data": "Broker and stores",
    "host": "HTTP",
    "max_detections_per_frame": "Frames and images",
    "topic_partitions": "Topics",
    "retain_unlisted_days": "Retention",
    "event_version": "Delivery",
    "reference_share": "Split",
    "count_copies": "Matching and mining",
    "embedder": "Embedding",
    "epoch_s": "Shortlists",
    "family_likeness": "Families of needles",
    "evaluate_every_s": "Evaluator",
    "log_level": "Logs and traces",
    "redact": "Redaction",
    "review_claim_s": "Review page",
    "cvat_url": "CVAT",
    "webhooks": "Webhooks",
    "bridge_topic": "Bridge",
    "label_studio_url": "Label Studio and links",
}
"""The name of each group, by its first setting; a group goes on until the next one begins."""


def groups_of_settings() -> Iterator[tuple[str, str]]:
    """Every setting's name with its group, in the order of the settings module."""
    group = ""
    for name in Settings.model_fields:
        group = _FIRST.get(name, group)
        yield name, group

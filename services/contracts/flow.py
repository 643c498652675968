"""Which service reads and writes which topics."""

from collections.abc import Mapping, Sequence

from services.contracts.topics import (
    DEAD_LETTERS,
    EMBEDDED,
    FRAMES,
    GROUND_TRUTH,
    MATCHES,
    NEEDLES,
    PREDICTIONS,
    REANNOTATION_TOPIC,
    Topic,
)

CONSUMERS = ("embedder", "fp_miner", "retriever", "evaluator")
"""The consuming services that later services depend on, in the order of the flow."""

LABEL_STUDIO = "label_studio"
BRIDGE = "bridge"
"""The service that reads a detector's topic, which the settings name."""
OPTIONAL_SERVICES = (LABEL_STUDIO, BRIDGE)
"""Services that run only if the settings name their tool or topic."""

WEBHOOKS = "webhooks"
"""The service that sends shortlists to receivers: a consumer for each, and a group of its own."""

REVIEW = "review"
"""The service that serves the review page; it consumes no topic."""

SERVICES = ("ingest", *CONSUMERS, REVIEW, WEBHOOKS)
"""The services of every deployment."""

USES_IMAGES = frozenset({"ingest", "embedder", REVIEW, LABEL_STUDIO})
"""The services that open the blob store: they store, embed, show or upload images."""

USES_VECTORS = frozenset({"embedder", "retriever"})
"""The services that connect to Qdrant, and have its key."""

READS: Mapping[str, Sequence[Topic]] = {
    "embedder": (FRAMES, PREDICTIONS, GROUND_TRUTH),
    "fp_miner": (FRAMES, PREDICTIONS, GROUND_TRUTH, REANNOTATION_TOPIC),
    "retriever": (NEEDLES, EMBEDDED, MATCHES),
    "evaluator": (MATCHES,),
    WEBHOOKS: (REANNOTATION_TOPIC,),
    LABEL_STUDIO: (REANNOTATION_TOPIC, GROUND_TRUTH),
    # The settings name its topic, which another system writes.
    BRIDGE: (),
}
"""The topics that each service consumes."""

WRITES: Mapping[str, Sequence[Topic]] = {
    "ingest": (FRAMES, PREDICTIONS, GROUND_TRUTH, DEAD_LETTERS),
    "embedder": (EMBEDDED, DEAD_LETTERS),
    "fp_miner": (MATCHES, NEEDLES, DEAD_LETTERS),
    "retriever": (REANNOTATION_TOPIC, DEAD_LETTERS),
    "evaluator": (DEAD_LETTERS,),
    # Corrections on the review page are ground truth. It replays only dead letters of these: an
    # annotator's page must not publish for vehicles or detectors.
    REVIEW: (GROUND_TRUTH, DEAD_LETTERS),
    WEBHOOKS: (DEAD_LETTERS,),
    # Answers from Label Studio are ground truth, or are dead-lettered.
    LABEL_STUDIO: (GROUND_TRUTH, DEAD_LETTERS),
    BRIDGE: (PREDICTIONS, DEAD_LETTERS),
}
"""The topics that each service publishes to; all may publish dead letters."""


_GROUPS = "gazeloop."
"""The prefix of all consumer groups."""


def group_of(service: str) -> str:
    """The consumer group of a service."""
    return _GROUPS + service


def service_of_group(group: str) -> str:
    """The service of a consumer group; the inverse of `group_of`."""
    return group.removeprefix(_GROUPS)

"""A backup's manifest. It is written last, so a backup that has one is complete."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, SecretStr

from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS
from services.embedder import logic
from services.runtime.embedded.embedders import EMBEDDERS_FILE
from services.runtime.embedded.split import SPLIT_FILE
from services.runtime.kafka.lag import Partition, Position
from services.runtime.settings import Settings, masked

FORM: Final = 1
"""Version of the backup's own form."""
NOTED_SETTINGS: Final = (EMBEDDERS_FILE, SPLIT_FILE)
"""Files of a data folder that note by which settings its content was made."""
_PLACES: Final = frozenset(
    {"data", "kafka", "mongodb", "mongodb_database", "mongodb_user", "qdrant", "blobs", "host"}
    | {"http_port", "metrics_port", "log_level", "traces", "public_url", "review_url"}
    | {"allowed_hosts", "kafka_user", "kafka_tls", "kafka_ca", "mongodb_tls", "mongodb_ca"}
    | {"qdrant_ca", "tls_certificate", "tls_key", "trusted_proxies", "webhook_secrets"}
)
"""Settings that name places; they do not affect what is computed from the data."""


class KeptFile(BaseModel):
    """A file of the backup, by its path in the backup."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size: int
    documents: int


class KeptVectors(BaseModel):
    """A collection of vectors.

    Attributes
    ----------
    snapshot_of : the version of the Qdrant server whose snapshot the file is; empty if it has the
        points, which any Qdrant takes
    """

    model_config = ConfigDict(frozen=True)

    dimension: int
    file: str
    snapshot_of: str = ""


class Cut(BaseModel):
    """The offsets from which services continue after a restore.

    They were committed before anything else was read: the stores have the effects of all records
    before them, and maybe of some later ones, which services process again without harm.

    Attributes
    ----------
    cluster : id of the broker; another one has other offsets
    offsets : by consumer group, topic and partition
    backlog : records that were not processed yet; only the broker has them
    """

    model_config = ConfigDict(frozen=True)

    cluster: str
    offsets: dict[str, dict[str, dict[int, int]]]
    backlog: int

    @classmethod
    def of(cls, cluster: str, positions: Mapping[str, Mapping[Partition, Position]]) -> "Cut":
        """The cut at these positions."""
        offsets: dict[str, dict[str, dict[int, int]]] = {}
        for group, reached in positions.items():
            topics = offsets.setdefault(group, {})
            for partition, position in reached.items():
                topics.setdefault(partition.topic, {})[partition.number] = position.committed
        backlog = sum(at.lag for reached in positions.values() for at in reached.values())
        return cls(cluster=cluster, offsets=offsets, backlog=backlog)

    def partitions(self) -> dict[str, dict[Partition, int]]:
        """The offsets by group and partition."""
        return {
            group: {
                Partition(topic, number): offset
                for topic, offsets in topics.items()
                for number, offset in offsets.items()
            }
            for group, topics in self.offsets.items()
        }

    def first_of(self, topic: str) -> dict[int, int]:
        """For each partition of a topic, the offset at which some group continues."""
        first: dict[int, int] = {}
        for topics in self.offsets.values():
            for number, offset in topics.get(topic, {}).items():
                first[number] = min(offset, first.get(number, offset))
        return first


class Manifest(BaseModel):
    """A whole backup.

    Attributes
    ----------
    made_at : when it was begun
    gazeloop : the version that made it
    stores : version of the stored documents' form
    at_one_moment : whether all of MongoDB was read as of one moment
    files : by path; their sha256 is compared before they are restored
    images : number of images; their digests are in the file `images.txt`
    unreadable_images : digests of stored images that were missing, or not what was stored
    """

    model_config = ConfigDict(frozen=True)

    form: int = FORM
    name: str
    made_at: datetime
    gazeloop: str
    stores: int
    cut: Cut
    at_one_moment: bool
    files: dict[str, KeptFile]
    collections: dict[str, str]
    vectors: dict[str, KeptVectors]
    aliases: dict[str, str]
    images: int
    unreadable_images: list[str]
    settings: dict[str, str]

    def differing(self, settings: Settings) -> dict[str, tuple[str, str]]:
        """Settings that are otherwise here: what they were, and what they are."""
        now = settings_kept(settings)
        # Manifests of before had webhook addresses in full.
        then = {name: masked(name, text) for name, text in self.settings.items()}
        names = sorted((then.keys() | now.keys()) - _PLACES)
        return {
            name: (then.get(name, "default"), now.get(name, "default"))
            for name in names
            if then.get(name) != now.get(name)
        }


def settings_kept(settings: Settings) -> dict[str, str]:
    """The settings that differ from their defaults, as text; secrets and keys are left out."""
    chosen = settings.model_dump(mode="json", exclude_defaults=True)
    fields = Settings.model_fields
    return {
        name: masked(name, str(value))
        for name, value in chosen.items()
        if fields[name].annotation is not SecretStr
    }


def indexed_fields(collection: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The text fields and the number fields by which a collection of vectors is searched."""
    if collection.startswith(f"{FRAME_VECTORS}-"):
        return tuple(logic.FRAME_KEYWORDS), tuple(logic.FRAME_NUMBERS)
    if collection.startswith(f"{REGION_VECTORS}-"):
        return tuple(logic.REGION_KEYWORDS), tuple(logic.REGION_NUMBERS)
    return (), ()

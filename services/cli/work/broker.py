"""What `gazeloop broker` does."""

from services.cli.console import console
from services.contracts.errors import MissingPart
from services.runtime.embedded.kafka import CLASS_ARCHIVE, find_java
from services.runtime.embedded.kafka_classes import archive_classes
from services.runtime.embedded.kafka_jars import KAFKA_VERSION, fetch_jars, find_jars


def fetch() -> None:
    """Run `gazeloop broker fetch`."""
    find_java()
    try:
        folder = find_jars()
    except MissingPart:
        with console(stderr=True).status(f"fetching Apache Kafka {KAFKA_VERSION} (44 MB)"):
            folder = fetch_jars()
    archive = folder / CLASS_ARCHIVE
    if not archive.exists():
        # Written by the broker itself, so that the next ones start in half the time.
        with console(stderr=True).status("archiving Kafka's classes"):
            archive_classes(archive)
    console().print(f"Apache Kafka {KAFKA_VERSION} in {folder}", highlight=False, soft_wrap=True)

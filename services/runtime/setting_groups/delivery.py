"""What may be sent, how it is delivered, and how long it is kept."""

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from services.contracts.topics import BY_NAME
from services.runtime.setting_groups.group import (
    Count,
    Days,
    DaysOrForever,
    Seconds,
    SettingGroup,
    Share,
    numbers_of,
)


class FrameSettings(SettingGroup):
    """Limits of frames and images."""

    title: ClassVar = "Frames and images"

    max_detections_per_frame: Count = Field(
        10_000,
        description="Maximum detections per detector and frame; the highest scores are kept.",
    )
    max_image_bytes: Count = Field(26_214_400, description="Largest image file, in bytes.")
    max_image_pixels: Count = Field(50_000_000, description="Largest image, in pixels.")


class TopicSettings(SettingGroup):
    """How topics are created."""

    title: ClassVar = "Topics"

    topic_partitions: Count = Field(8, description="Number of partitions of new topics.")
    topic_partitions_of: str = Field(
        "", description="Numbers of partitions of single topics, `gaze.matches=24,…`."
    )
    topic_retention_days: Days = Field(
        7.0, description="Retention of topics that are not compacted, in days."
    )
    topic_retention_days_of: str = Field(
        "", description="Retention of single topics, `gaze.dead-letters=90,…`, in days."
    )

    @field_validator("topic_partitions_of", "topic_retention_days_of")
    @classmethod
    def _name_topics(cls, listed: str, info: ValidationInfo) -> str:
        """Refuse topics that do not exist, and numbers that no topic can have."""
        whole = info.field_name == "topic_partitions_of"
        for topic, number in numbers_of(listed).items():
            if topic not in BY_NAME:
                raise ValueError(f"{topic} is no topic; there are {', '.join(BY_NAME)}")
            if number <= 0 or (whole and number % 1):
                raise ValueError(f"{topic} cannot have {number:g}")
        return listed

    def partitions_of(self, topic: str) -> int:
        """Number of partitions that a topic is to have."""
        return int(numbers_of(self.topic_partitions_of).get(topic, self.topic_partitions))

    def retention_days_of(self, topic: str) -> float:
        """How long a topic that is not compacted is to keep events, in days."""
        return numbers_of(self.topic_retention_days_of).get(topic, self.topic_retention_days)


class RetentionSettings(SettingGroup):
    """How long stored data is kept; docs/retention.md."""

    title: ClassVar = "Retention"

    retain_unlisted_days: DaysOrForever = Field(
        0.0,
        description="How long haystack frames without ground truth that no shortlist had are kept,"
        " with image, vectors and predictions, in days; 0: for good. docs/retention.md.",
    )
    retain_until_archived: bool = Field(
        default=False,
        description="Whether such frames are kept until `gazeloop retention archive` has them.",
    )
    retain_images_days: DaysOrForever = Field(
        0.0,
        description="How long images of annotated frames without active needles are kept, in days;"
        " 0: for good.",
    )
    retain_vectors_days: DaysOrForever = Field(
        0.0,
        description="How long vectors of embedding models that are not live any more are kept, in"
        " days; 0: for good.",
    )
    retain_imports_days: DaysOrForever = Field(
        0.0,
        description="How long what an import published is noted, so that it can be undone, in days;"
        " 0: for good.",
    )
    retain_verdicts_days: DaysOrForever = Field(
        0.0,
        description="How long decisions about retracted needles are kept, in days; 0: for good.",
    )
    retain_figures_days: DaysOrForever = Field(
        0.0, description="How long figures over time are kept, in days; 0: for good."
    )
    retention_per_minute: Count = Field(
        600,
        description="Maximum number of old frames, of frames of interrupted erasures, of images,"
        " and of frames with vectors, deleted per minute.",
    )


class DeliverySettings(SettingGroup):
    """How services consume, publish, retry and stop."""

    title: ClassVar = "Delivery"

    event_version: int = Field(
        1,
        ge=1,
        le=2,
        description="Version of written events; both versions are read. Set 2 once no process"
        " of version 0.1 is left.",
    )
    topic_replication: Count = Field(1, description="Number of replicas of new topics.")
    batch_size: Count = Field(512, description="Maximum number of events per batch.")
    batch_bytes: Count = Field(
        16_777_216,
        description="Maximum bytes per batch.",
    )
    batch_wait_s: Seconds = Field(
        0.1, description="Maximum wait until a batch is full, in seconds."
    )
    delivery_timeout_s: Seconds = Field(
        30.0, description="Maximum wait for the broker's acknowledgement, in seconds."
    )
    retry_wait_max_s: Seconds = Field(
        30.0, description="Maximum back-off between retries, in seconds."
    )
    drain_deadline_s: Seconds = Field(
        20.0, description="Time to finish the current batch at SIGTERM, in seconds."
    )
    metadata_max_age_s: Seconds = Field(
        30.0, description="Interval at which services look for new partitions, in seconds."
    )
    start_wait_s: Seconds = Field(
        300.0, description="How long a starting service waits for broker and stores, in seconds."
    )
    session_timeout_s: Seconds = Field(
        10.0,
        le=90,  # Faust refuses more than its timeout of requests
        description="Time without a heartbeat until a replica loses its partitions, in seconds; 90"
        " at most.",
    )
    stall_limit_s: Seconds = Field(
        300.0, description="Time with lag but without progress until a service exits, in seconds."
    )
    dead_letter_run_limit: Count = Field(
        1000, description="Number of consecutive dead letters that stops a service."
    )
    dead_letter_ratio_limit: Share = Field(
        0.9, description="Share of dead letters in the last 1000 events that stops a service."
    )

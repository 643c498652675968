"""Systems outside: annotation tools, receivers of shortlists, and a detector's topic."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from services.runtime.setting_groups.group import (
    Masked,
    Seconds,
    SettingGroup,
    Url,
)


def without_paths(addresses: str) -> str:
    """URLs in `name=URL,…` without users, paths and queries, which may contain keys."""
    without_users = re.sub(r"://[^/?#,]*@", "://", addresses)
    return re.sub(r"(://[^/?#,]*)[/?#][^,]+", r"\1/***", without_users)


class CvatSettings(SettingGroup):
    """CVAT, for `gazeloop cvat`."""

    title: ClassVar = "CVAT"

    cvat_url: Url = Field("", description="URL of CVAT, for `gazeloop cvat`.")
    cvat_token: SecretStr = Field(SecretStr(""), description="Personal access token of CVAT.")


class WebhookSettings(SettingGroup):
    """Receivers of shortlists; docs/webhooks.md."""

    title: ClassVar = "Webhooks"

    webhooks: Annotated[str, Masked(without_paths)] = Field(
        "", description="Receivers of shortlists, `name=https://…,…`; docs/webhooks.md."
    )
    webhook_secrets: Path | None = Field(
        None,
        description="Folder of their secrets, a file each; empty: `webhooks` in the data folder.",
    )
    webhook_timeout_s: Seconds = Field(
        10.0, description="Maximum wait for a receiver's answer, in seconds."
    )
    webhook_give_up_s: Seconds = Field(
        120.0, description="How long a delivery is retried until it is a dead letter, in seconds."
    )


class BridgeSettings(SettingGroup):
    """The topic that a detector writes to; docs/connect-a-detector.md."""

    title: ClassVar = "Bridge"

    bridge_topic: str = Field(
        "", description="Topic that a detector writes to; empty: none. docs/connect-a-detector.md."
    )
    bridge_kafka: str = Field(
        "", description="Bootstrap servers of the topic's cluster; empty: Gazeloop's own."
    )
    bridge_kafka_tls: bool = Field(
        False, description="Whether connections to the topic's cluster use TLS."
    )
    bridge_kafka_ca: Path | None = Field(
        None,
        description="CA certificate file for the topic's cluster; turns TLS on. Empty: the"
        " system's.",
    )
    bridge_kafka_user: str = Field(
        "", description="User of the topic's cluster; empty: no authentication."
    )
    bridge_kafka_password: SecretStr = Field(
        SecretStr(""), description="Password of the user of the topic's cluster."
    )
    bridge_format: str = Field(
        "", description="Its messages' format, as `--predictions-format` names it."
    )
    bridge_detector: str = Field("", description="Whose output it is, `NAME@VERSION`.")
    bridge_class_names: str = Field(
        "", description="File with the names of the detector's classes, for formats of numbers."
    )
    bridge_frame_id: str = Field(
        "",
        description="Frame of a message, such as `{sensorId}:{id}`; empty: `{image}`, or by time.",
    )
    bridge_vehicle: str = Field(
        "", description="To pair by time: the frame's vehicle, such as `{sensorId}`."
    )
    bridge_time: str = Field(
        "", description="To pair by time: the frame's capture time, such as `{@timestamp}`."
    )
    bridge_tolerance_s: Seconds = Field(
        0.05, description="To pair by time: most between message and frame, in seconds."
    )
    bridge_unmatched: Literal["dead-letter", "skip"] = Field(
        "dead-letter",
        description="To pair by time: what becomes of messages of frames that were not captured.",
    )
    bridge_wait_s: Seconds = Field(
        60.0, description="How long a message waits for its frame, from its time on, in seconds."
    )


class LabelStudioSettings(SettingGroup):
    """Label Studio, and the URLs that links lead to."""

    title: ClassVar = "Label Studio and links"

    label_studio_url: Url = Field("", description="URL of Label Studio; empty: not used.")
    label_studio_token: SecretStr = Field(
        SecretStr(""), description="Access token of Label Studio, from its account page."
    )
    label_studio_project: Annotated[str, Field(min_length=1, max_length=50)] = Field(
        "Gazeloop", description="Title of the project for shortlists."
    )
    label_studio_poll_s: Seconds = Field(
        60.0, description="Interval at which Label Studio is polled for changes, in seconds."
    )
    label_studio_webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that Label Studio's webhooks must send; empty: webhooks are refused.",
    )
    public_url: Url = Field(
        "",
        description="URL at which Label Studio and annotators' browsers reach ingest; empty: images"
        " are uploaded.",
    )
    review_url: Url = Field(
        "",
        description="URL at which people reach the review page, like https://review.example/review;"
        " commands print links to it. Empty: the page of a running `gazeloop up`, else"
        " GAZELOOP_PUBLIC_URL with /review.",
    )

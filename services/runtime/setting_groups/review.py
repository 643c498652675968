"""What annotators see, and where they review."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from services.runtime.setting_groups.group import (
    Count,
    Seconds,
    SettingGroup,
    Url,
    quoted_parts_of,
)


class RedactionSettings(SettingGroup):
    """What people must not see; docs/privacy.md."""

    title: ClassVar = "Redaction"

    redact: str = Field(
        "",
        description="Categories that people and exports must not see, `face,…`; one with a comma is"
        " quoted. docs/privacy.md.",
    )
    redact_detector: str = Field(
        "",
        validate_default=True,
        description="Detector whose predictions find them: `NAME`, or `NAME@VERSION`. It is not"
        " mined.",
    )
    redact_style: Literal["black", "blur"] = Field(
        "black", description="What becomes of their pixels."
    )
    redact_undetected: Literal["hide", "show"] = Field(
        "hide", description="Frames without that detector's predictions: hidden, or shown as is."
    )
    redact_training: bool = Field(
        True, description="Whether training sets for the detector have redacted images."
    )

    @field_validator("redact")
    @classmethod
    def _categories_are_named(cls, listed: str) -> str:
        """Refuse a list without names, which would redact nothing."""
        quoted_parts_of(listed)
        return listed

    @field_validator("redact_detector")
    @classmethod
    def _redaction_has_a_detector(cls, detector: str, info: ValidationInfo) -> str:
        """Refuse categories without their detector, and it without them: nothing is redacted."""
        redacted = info.data.get("redact")  # absent where it is wrong itself
        if redacted and not detector:
            raise ValueError("GAZELOOP_REDACT needs the detector that finds its categories")
        if redacted == "" and detector:
            raise ValueError("GAZELOOP_REDACT_DETECTOR needs GAZELOOP_REDACT, what it finds")
        return detector

    @property
    def redacted_categories(self) -> list[str]:
        """Categories whose regions people must not see."""
        return quoted_parts_of(self.redact)


class ReviewSettings(SettingGroup):
    """The review page."""

    title: ClassVar = "Review page"

    review_claim_s: Seconds = Field(
        300.0, description="How long a claim on a needle lasts, in seconds."
    )
    review_cache_bytes: Count = Field(
        536_870_912, description="Size of the disk cache of crops and thumbnails, in bytes."
    )
    review_base_map: Path | None = Field(
        None,
        description="PMTiles file of vector tiles, drawn below the drives on the map of needles;"
        " empty: a plain ground.",
    )
    annotation_tool: Url = Field(
        "",
        description="URL of the team's tool; `{frame_id}` is replaced by the frame's id.",
    )

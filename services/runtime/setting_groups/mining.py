"""The split, matching and embedding."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from services.domain.detection.operating_scores import OperatingScores
from services.domain.splits import SplitRule
from services.runtime.setting_groups.group import (
    Count,
    Score,
    SettingGroup,
    Share,
)


class SplitSettings(SettingGroup):
    """Which frames are the reference."""

    title: ClassVar = "Split"

    reference_share: Share = Field(0.1, description="Share of drives in the reference split.")
    split_seed: int = Field(0, description="Seed of the split's hash.")
    split_by: Literal["drive", "frame"] = Field(
        "drive", description="Unit that is not divided between the splits."
    )

    @property
    def split_rule(self) -> SplitRule:
        """Which frames are the reference and which the haystack."""
        return SplitRule(self.reference_share, self.split_seed, by_frame=self.split_by == "frame")


class MatchingSettings(SettingGroup):
    """What counts as a failure."""

    title: ClassVar = "Matching and mining"

    count_copies: bool = Field(False, description="Whether copies of earlier frames' images count.")
    operating_score: Score = Field(
        0.5, description="Operating score: detections from it on count as shown to users."
    )
    operating_score_of: str = Field(
        "",
        description="Operating scores of single categories,"
        " `stop sign=.6,NAME@VERSION:stop sign=.7,…`; any colon may end the version;"
        " docs/evaluation.md.",
    )
    mine_misses: bool = Field(
        False,
        description="Whether annotated objects that no detection found become needles; needs"
        " version 2 of the events.",
    )

    @field_validator("operating_score_of")
    @classmethod
    def _are_scores(cls, listed: str) -> str:
        """Refuse what names no category, or no score."""
        OperatingScores.parsed(0, listed)
        return listed

    @property
    def operating_scores(self) -> OperatingScores:
        """From which scores on detections count as shown."""
        return OperatingScores.parsed(self.operating_score, self.operating_score_of)


class EmbeddingSettings(SettingGroup):
    """The embedder, and how it computes; docs/embedding.md."""

    title: ClassVar = "Embedding"

    embedder: str = Field(
        "squeezenet1_0",
        description="A backbone, .onnx file, timm:NAME, module:factory or event:MODEL:DIMENSION;"
        " docs/embedding.md.",
    )
    weights: Path | None = Field(None, description="Weights file; empty: the backbone's own.")
    weights_sha256: str = Field("", description="sha256 of the weights file; empty: not checked.")
    pooling: Literal["penultimate", "average", "gem", "rmac", "grid"] = Field(
        "penultimate", description="Pooling of the backbone's last feature map into a vector."
    )
    region_encoder: Literal["crop", "roi"] = Field(
        "crop",
        description="Regions: embedded as crops, or by RoIAlign on the frame's feature map.",
    )
    region_score: Score = Field(0.3, description="Minimum score of an embedded detection.")
    vector_quantization: Literal["none", "int8"] = Field(
        "none",
        description="Vector quantisation of new collections; int8 takes a third of the memory.",
    )
    embed_batch: Count = Field(16, description="Maximum number of images per forward pass.")
    embed_queue_bytes: Count = Field(
        536_870_912,
        description="Maximum bytes of decoded images, of a forward pass and the next one.",
    )
    embed_runtime: Literal["auto", "openvino", "torch", "cuda"] = Field(
        "auto", description="Inference engine; auto: the GPU if there is one, else OpenVINO."
    )
    embed_precision: Literal["fp32", "bf16", "int8"] = Field(
        "fp32", description="Numeric precision of the backbone; docs/embedding.md."
    )
    embed_int8: Path | None = Field(
        None, description="The file that `gazeloop calibrate` wrote, for int8."
    )
    embed_int8_sha256: str = Field("", description="sha256 of that file; empty: not checked.")
    embed_decode: Literal["scaled", "full"] = Field(
        "scaled",
        description="Decoding of JPEG frames for RoIAlign: at the resolution needed, or in full.",
    )
    torch_threads: Count = Field(2, description="Number of CPU threads of the backbone.")

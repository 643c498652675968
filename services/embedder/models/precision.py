"""The number formats in which a network may be computed."""

from enum import StrEnum


class Precision(StrEnum):
    """The number format of activations between layers."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"
    """Calibrated on images beforehand; OpenVINO only."""

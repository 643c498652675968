"""What is computed and logged for operators."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from services.runtime.setting_groups.group import (
    Count,
    Seconds,
    SettingGroup,
    Url,
)

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class EvaluatorSettings(SettingGroup):
    """How often, and of how many frames, figures are computed."""

    title: ClassVar = "Evaluator"

    evaluate_every_s: Seconds = Field(
        0.5, description="Interval at which the gauges are updated, in seconds."
    )
    figures_frames: Count = Field(
        500_000,
        description="Maximum frames, summed over detectors, behind figures over time, curves and"
        " error costs; with more, a uniform sample.",
    )


class LogSettings(SettingGroup):
    """What is logged and traced."""

    title: ClassVar = "Logs and traces"

    log_level: LogLevel = Field("INFO", description="Minimum level of logged events.")
    traces: Url = Field(
        "", description="URL of an OTLP collector, `http://HOST:4318/v1/traces`; empty: no traces."
    )
    trace_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="Share of frames and requests that start a trace."
    )

"""Shortlists, and families of needles."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from services.runtime.setting_groups.group import (
    Count,
    Limit,
    Score,
    Seconds,
    SettingGroup,
    Share,
)


class ShortlistSettings(SettingGroup):
    """How shortlists are chosen, and with which budgets and caches."""

    title: ClassVar = "Shortlists"

    epoch_s: Seconds = Field(2.0, description="Length of an epoch while events arrive, in seconds.")
    epoch_events: Count = Field(2048, description="Number of events that closes an epoch early.")
    frame_cache_bytes: Count = Field(
        268_435_456, description="Size of the retriever's cache of frames, in bytes."
    )
    needle_cache_bytes: Count = Field(
        134_217_728,
        description="Size of the retriever's cache of needles with their shortlists, in bytes.",
    )
    match_cache_bytes: Count = Field(
        536_870_912, description="Size of the retriever's cache of labelled regions, in bytes."
    )
    model_cache_bytes: Count = Field(
        1_073_741_824,
        description="Size of its cache of failure models, in bytes; others are read again.",
    )
    vector_cache_bytes: Count = Field(
        134_217_728, description="Size of the retriever's cache of region vectors, in bytes."
    )
    worth_cache_bytes: Count = Field(
        268_435_456, description="Size per detector of what haystack frames are worth, in bytes."
    )
    miss_table_bytes: Count = Field(
        536_870_912,
        description="Size per detector of what `missed-objects` knows of frames, in bytes; beyond"
        " it the frames captured first are not scored again.",
    )
    shortlist_size: Count = Field(10, description="Maximum number of frames per shortlist.")
    shortlist_per_drive: Count = Field(
        3, description="Maximum number of frames of one drive per shortlist."
    )
    shortlist_strategy: Literal[
        "worst-frames", "costliest-errors", "label-efficiency", "missed-objects"
    ] = Field(
        "worst-frames",
        description="What shortlists optimise; docs/shortlists.md compares the strategies.",
    )
    shortlist_budget: Share = Field(
        0.15,
        description="Share of haystack frames that may be listed; at least one shortlist's size.",
    )
    sampled_share: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0,
        description="Share of that budget for frames drawn by chance, from which figures of the"
        " whole haystack are estimated; needs GAZELOOP_EVENT_VERSION=2.",
    )
    shortlist_early: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="Share of the budget that is listed while the haystack still grows fast."
    )
    budget_per_day: Limit = Field(
        0, description="Maximum frames on shortlists per UTC day of capture; 0: no limit."
    )
    budget_per_vehicle: Limit = Field(0, description="Maximum of those per vehicle; 0: no limit.")
    budget_per_family: Limit = Field(
        0, description="Maximum of those per family of needles; 0: no limit."
    )
    shortlist_evidence: Score = Field(
        0.3, description="Minimum evidence of a shortlisted region; a probability if learnt."
    )
    shortlist_apart_s: Seconds = Field(
        1.0, description="Frames of a drive are near-duplicates within this time, in seconds."
    )
    shortlist_apart_m: Annotated[float, Field(ge=0)] = Field(
        5.0, description="Frames of a drive are near-duplicates within this distance, in metres."
    )
    shortlist_pool: Count = Field(
        1000, description="Maximum number of nearest regions that are considered per failure mode."
    )

    @property
    def divides_budget(self) -> bool:
        """Whether shortlists' budget is divided among purposes."""
        return self.shortlist_strategy == "label-efficiency"

    @property
    def lists_misses(self) -> bool:
        """Whether shortlists are for missed objects, not for false positives."""
        return self.shortlist_strategy == "missed-objects"


class FamilySettings(SettingGroup):
    """When needles belong together, and when a family is resolved."""

    title: ClassVar = "Families of needles"

    family_likeness: Score = Field(
        0.5,
        description="Minimum cosine of a family's needles, without what all needles share.",
    )
    family_quiet_drives: Count = Field(
        3, description="Number of drives without a new member until a reviewed family is resolved."
    )
    recheck_suspicion: Score = Field(
        0.5, description="Minimum suspicion at which an annotation is listed for checking."
    )

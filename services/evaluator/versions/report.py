"""The models of `gazeloop compare --json`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from services.contracts.events import ErrorType
from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.metrics.ap_changes import ApChange, SliceChange
from services.domain.metrics.changes import Change
from services.domain.metrics.failure_changes import FailureChange
from services.evaluator.slices import bounds_of
from services.evaluator.versions.campaign import Campaign, Cost
from services.evaluator.versions.comparison import Comparison

Frames = Literal["reference", "all"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApReport(_Part):
    """AP of both versions; None where it is undefined."""

    old: float | None
    new: float | None
    difference: float | None
    """New minus old; None on too few frames."""
    interval: tuple[float, float] | None
    """95% interval of the paired difference."""
    p_value: float | None
    change: Change

    @classmethod
    def of(cls, ap: ApChange) -> Self:
        """The report of a change."""
        return cls(
            old=ap.old,
            new=ap.new,
            difference=None if ap.difference is None else ap.difference.value,
            interval=bounds_of(ap.difference),
            p_value=ap.p_value,
            change=ap.change,
        )


class SliceChangeReport(_Part):
    """The frames with one tag."""

    key: str
    value: str
    frames: int
    ap: ApReport

    @classmethod
    def of(cls, part: SliceChange) -> Self:
        """The report of a slice."""
        return cls(key=part.tag[0], value=part.tag[1], frames=part.frames, ap=ApReport.of(part.ap))


class CostReport(_Part):
    """What re-annotation cost."""

    frames: int
    boxes: int
    seconds: float
    """Lead times, as far as they are known."""
    timed_frames: int
    """The frames whose lead time is known."""
    hours: float | None
    """Frames without a lead time count at the mean of the others; None without any."""

    @classmethod
    def of(cls, cost: Cost) -> Self:
        """The report of a cost."""
        return cls(
            frames=cost.frames,
            boxes=cost.boxes,
            seconds=cost.seconds,
            timed_frames=cost.timed,
            hours=cost.hours,
        )


class FamilyReport(_Part):
    """The failures of one family, or of one failure mode outside of families."""

    family: str | None
    category: Category
    error_type: ErrorType
    true_category: Category | None
    old: int
    """Failures of the old version."""
    new: int
    change: Change
    improved: int
    """Frames with fewer failures than before."""
    worsened: int
    improved_frames: tuple[FrameId, ...]
    worsened_frames: tuple[FrameId, ...]
    improved_share: float | None
    """Of the changed frames."""
    interval: tuple[float, float] | None
    """95% interval of that share."""
    p_value: float | None
    """Of no change, before the correction; None if too few frames changed to be tested."""
    ap_gain: float
    """AP of the category that the change of these false positives is worth."""
    cost: CostReport | None = None
    """Of re-annotating the frames on the family's shortlists."""
    ap_gain_per_hour: float | None = None

    @classmethod
    def of(cls, change: FailureChange, ap_gain: float, cost: Cost | None) -> Self:
        """The report of a group of failures."""
        category, mode, family = change.group
        share = change.improved_share
        hours = None if cost is None else cost.hours
        return cls(
            family=family,
            category=category,
            error_type=mode.error,
            true_category=mode.true_category,
            old=change.old,
            new=change.new,
            change=change.change,
            improved=len(change.improved),
            worsened=len(change.worsened),
            improved_frames=change.improved,
            worsened_frames=change.worsened,
            improved_share=None if share is None else share.value,
            interval=bounds_of(share),
            p_value=change.p_value,
            ap_gain=ap_gain,
            cost=None if cost is None else CostReport.of(cost),
            ap_gain_per_hour=ap_gain / hours if hours else None,
        )


class ComparisonReport(_Part):
    """What changed from one detector version to the next, on the same frames."""

    old: DetectorId
    new: DetectorId
    frames: int
    frames_of: Frames
    map: ApReport
    summary: dict[Change, int]
    """The number of families by change."""
    untested: int
    """Families that changed on too few frames to be tested; `same` has them too."""
    families: tuple[FamilyReport, ...]
    categories: dict[Category, ApReport]
    slices: tuple[SliceChangeReport, ...]
    campaign: CostReport | None = None
    """What re-annotating the old version's shortlists cost; None for files."""
    map_gain_per_hour: float | None = None

    @classmethod
    def of(cls, found: Comparison, frames_of: Frames, campaign: Campaign | None = None) -> Self:
        """The report of a comparison."""
        families = _families(found, {} if campaign is None else campaign.families)
        overall = ApReport.of(found.ap.overall)
        hours = None if campaign is None else campaign.total.hours
        return cls(
            old=found.old,
            new=found.new,
            frames=found.frames,
            frames_of=frames_of,
            map=overall,
            summary=_counts(families),
            untested=sum(
                family.p_value is None and family.improved_share is not None for family in families
            ),
            families=families,
            categories={name: ApReport.of(ap) for name, ap in found.ap.categories.items()},
            slices=tuple(SliceChangeReport.of(part) for part in found.ap.slices),
            campaign=None if campaign is None else CostReport.of(campaign.total),
            map_gain_per_hour=(
                overall.difference / hours if hours and overall.difference is not None else None
            ),
        )

    @property
    def sentence(self) -> str:
        """The comparison in one sentence."""
        counts = self.summary
        fixed = self._groups(counts[Change.FIXED])
        parts = [f"fixes {fixed}", f"breaks {counts[Change.BROKEN]}"]
        if counts[Change.BETTER] or counts[Change.WORSE]:
            parts.append(f"makes {counts[Change.BETTER]} better and {counts[Change.WORSE]} worse")
        return f"{self.new} {', '.join(parts)}"

    def without_frames(self) -> Self:
        """The same without ids of frames, for stores that an erasure does not search."""
        none: dict[str, tuple[FrameId, ...]] = {"improved_frames": (), "worsened_frames": ()}
        families = tuple(family.model_copy(update=none) for family in self.families)
        return self.model_copy(update={"families": families})

    def objections(self, no_worse_than: float, most_broken: int | None = None) -> list[str]:
        """Why a pipeline should refuse the new version; none if it is good enough.

        Parameters
        ----------
        no_worse_than : the loss of mAP that the 95% interval must exclude (non-inferiority)
        most_broken : families that may be worse or broken; None: any number
        """
        found = []
        if self.map.interval is None:
            found.append("mAP is undefined: no frame of both has ground truth")
        elif self.map.interval[0] < -no_worse_than:
            found.append(
                f"mAP may be {-self.map.interval[0]:.3f} lower, and {no_worse_than:g} is allowed"
            )
        worse = self.summary[Change.WORSE] + self.summary[Change.BROKEN]
        if most_broken is not None and worse > most_broken:
            found.append(f"{self._groups(worse)} worse or broken, and {most_broken} allowed")
        return found

    def _groups(self, count: int) -> str:
        """So many families; failure modes where no failure has a family, as in files."""
        if any(family.family for family in self.families):
            return f"{count:,} {'family' if count == 1 else 'families'}"
        return f"{count:,} failure mode{'s' * (count != 1)}"


def _counts(families: Sequence[FamilyReport]) -> dict[Change, int]:
    counts = Counter(family.change for family in families)
    return {change: counts[change] for change in Change}


def _families(found: Comparison, costs: Mapping[str, Cost]) -> tuple[FamilyReport, ...]:
    return tuple(
        FamilyReport.of(change, found.worth[change.group], costs.get(change.group.family or ""))
        for change in found.failures
    )

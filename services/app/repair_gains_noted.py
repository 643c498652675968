"""Store what repairing reviewed frames gains, for the review page."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.annotation.reviewed_frames import ReviewedNeedle, reviewed_needles
from services.annotation.stores.opening import AnnotationStores
from services.contracts.identity import Category, DetectorId, FamilyId, FrameId, NeedleId
from services.domain.ports.repair_gains import ALL_FAMILIES
from services.evaluator.reports.match_figures import MatchFigures
from services.runtime.stores.opening import Stores


async def note_repair_gains(
    stores: Stores, figures: MatchFigures, detectors: Sequence[DetectorId]
) -> None:
    """Compute the gains of these detectors again, and replace what is stored.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    by_detector: defaultdict[DetectorId, list[ReviewedNeedle]] = defaultdict(list)
    for reviewed in await reviewed_needles(AnnotationStores.of(stores)):
        by_detector[DetectorId(reviewed.needle.detector)].append(reviewed)
    gains = {}
    for detector in detectors:
        families = await stores.family_marks.families(detector)
        repaired = repaired_frames(by_detector[detector], families)
        gains[detector] = await figures.repair_gains(detector, repaired)
    await stores.repair_gains.show(gains)


def repaired_frames(
    reviewed: Sequence[ReviewedNeedle], families: Mapping[NeedleId, FamilyId]
) -> dict[str, tuple[Category | None, frozenset[FrameId]]]:
    """By family, its category and reviewed frames; and all frames of all categories together."""
    if not reviewed:
        return {}
    found: dict[str, tuple[Category | None, frozenset[FrameId]]] = {}
    for item in reviewed:
        family = families.get(item.needle.needle_id)
        if family is not None:
            _, known = found.get(family, (None, frozenset[FrameId]()))
            found[family] = item.needle.category, known | item.frames
    everything = frozenset[FrameId]().union(*(item.frames for item in reviewed))
    return {**found, ALL_FAMILIES: (None, everything)}

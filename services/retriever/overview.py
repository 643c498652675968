"""The families of all active needles, and the needles that may be label errors."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.contracts.events import ErrorType, Split
from services.contracts.identity import DetectorId, DriveId, FrameId, ModelId, NeedleId, RegionId
from services.contracts.matches import CategoryMatched
from services.contracts.needles import NeedleFound
from services.domain.arrays import Vector, Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.families import Family, Member, beyond, families, shared_by
from services.domain.mining.label_errors import missing_label_suspicion
from services.domain.ports.frames import FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.domain.ports.vectors import REGION_VECTORS, VectorReader, live_model
from services.retriever import logic
from services.retriever.caches import FrameCache, VectorCache
from services.retriever.labelled_regions import LabelledRegions, examples_of, modes_of_regions
from services.retriever.logic import DetectorCategory
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Suspect:
    """A needle that may be a correct detection whose label is missing."""

    needle: NeedleFound
    suspicion: float


@dataclass(frozen=True)
class Overview:
    """What a reviewer reads first.

    Attributes
    ----------
    families : the largest first
    recheck : reference regions whose annotation should be checked, the most suspicious first
    needles : by id, all needles of families and suspects
    """

    families: Sequence[Family]
    recheck: Sequence[Suspect]
    needles: Mapping[NeedleId, NeedleFound]


async def read_overview(
    needles: NeedleStore,
    matches: MatchStore,
    frames: FrameStore,
    vectors: VectorReader,
    settings: Settings,
) -> Overview:
    """The overview of all stored needles; needles that are not embedded yet are left out."""
    model = await live_model(vectors, REGION_VECTORS)
    records = [
        record async for record in needles.scan() if record.active and record.needle is not None
    ]
    if model is None or not records:
        return Overview((), (), {})
    scanned = matches.scan(split=Split.REFERENCE)
    # An empty match shows neither a drive that was annotated nor a region.
    reference = [match async for match in scanned if not match.is_empty]
    found = {record.needle_id: record.needle for record in records if record.needle is not None}
    known = VectorCache(vectors, settings.vector_cache_bytes)
    of_needles = await known.load(model, [needle.region_id for needle in found.values()])
    reannotated = await FrameCache(frames, settings.frame_cache_bytes).reannotated()

    def clustered() -> list[Family]:
        return families(
            _members(records, of_needles, reannotated),
            likeness=settings.family_likeness,
            drives=_drives(reference),
            quiet_drives=settings.family_quiet_drives,
        )

    # In a thread: many needles take seconds, and the review page must answer meanwhile.
    return Overview(
        await asyncio.to_thread(clustered),
        await _suspects(list(found.values()), reference, known, model, settings),
        found,
    )


def _members(
    records: Sequence[NeedleRecord], vectors: Mapping[RegionId, Vector], reannotated: set[FrameId]
) -> list[Member]:
    embedded = [
        (record, record.needle)
        for record in records
        if record.needle is not None and record.needle.region_id in vectors
    ]
    if not embedded:
        return []
    rows = _centred(
        [(needle.detector, record.is_miss) for record, needle in embedded],
        np.stack([vectors[needle.region_id] for _, needle in embedded]),
    )
    return [
        Member(
            needle.needle_id,
            needle.detector,
            needle.category,
            FailureMode.of(needle.error_type, needle.true_category),
            needle.drive_id,
            needle.captured_at,
            row,
            answered=record.shortlist is not None
            and any(candidate.frame_id in reannotated for candidate in record.shortlist.candidates),
        )
        for (record, needle), row in zip(embedded, rows, strict=True)
    ]


def _centred(groups: Sequence[tuple[DetectorId, bool]], vectors: Vectors) -> Vectors:
    """The vectors without the mean vector of their detector's needles, apart from its misses'.

    Parameters
    ----------
    groups : of each needle, its detector and whether it is a miss
    """
    rows = np.empty_like(vectors)
    for group in set(groups):
        is_member = np.array([other == group for other in groups])
        rows[is_member] = beyond(shared_by(vectors[is_member]), vectors[is_member])
    return rows


def _drives(matches: Sequence[CategoryMatched]) -> list[tuple[DriveId, datetime]]:
    """Reference drives with the times of their first frames; a frame without a drive is its own."""
    first: dict[DriveId, datetime] = {}
    for match in matches:
        drive = match.drive_id or DriveId(match.frame_id)
        first[drive] = min(match.captured_at, first.get(drive, match.captured_at))
    return sorted(first.items())


async def _suspects(
    needles: Sequence[NeedleFound],
    reference: Sequence[CategoryMatched],
    known: VectorCache,
    model: ModelId,
    settings: Settings,
) -> list[Suspect]:
    background_by_category: defaultdict[DetectorCategory, list[NeedleFound]] = defaultdict(list)
    for needle in needles:
        if needle.error_type is ErrorType.BACKGROUND:
            background_by_category[needle.detector, needle.category].append(needle)
    annotated: defaultdict[DetectorCategory, list[LabelledRegions]] = defaultdict(list)
    for match in reference:
        annotated[logic.detector_category_of(match)].append(LabelledRegions.of(match))
    suspects = []
    operating = settings.operating_scores
    for detector_category, background_needles in sorted(background_by_category.items()):
        modes = await asyncio.to_thread(
            modes_of_regions,
            annotated[detector_category],
            operating.of(*detector_category),
        )
        vectors = await known.load(
            model, [*modes, *(needle.region_id for needle in background_needles)]
        )
        suspects += await asyncio.to_thread(
            _suspects_of_category, background_needles, modes, vectors, settings.recheck_suspicion
        )
    return sorted(suspects, key=lambda suspect: (-suspect.suspicion, suspect.needle.needle_id))


def _suspects_of_category(
    background_needles: Sequence[NeedleFound],
    modes: Mapping[RegionId, FailureMode | None],
    vectors: Mapping[RegionId, Vector],
    suspicion_min: float,
) -> list[Suspect]:
    """The suspects of one detector and category."""
    present = [needle for needle in background_needles if needle.region_id in vectors]
    if not present:
        return []
    examples = examples_of(modes, vectors, {region: np.empty(0) for region in modes})
    rows = np.stack([vectors[needle.region_id] for needle in present])
    scores = np.array([needle.score for needle in present])
    suspicions = missing_label_suspicion(rows, scores, examples).tolist()
    return [
        Suspect(needle, suspicion)
        for needle, suspicion in zip(present, suspicions, strict=True)
        if suspicion >= suspicion_min
    ]

"""Compare consecutive detector versions, for the review page and the dashboard."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from services.contracts.errors import InvalidRecord
from services.contracts.identity import DetectorId
from services.domain.ports.comparisons import ComparisonStore, Versions
from services.evaluator.versions.reading import StoredVersions
from services.evaluator.versions.report import ComparisonReport

MAX_PAIRS: Final = 3
"""Pairs of each detector, the latest ones."""


def consecutive_versions(detectors: Iterable[DetectorId]) -> list[Versions]:
    """Each version of a detector with the next one, by the numbers in their names: 9 before 10."""
    by_name: defaultdict[str, list[DetectorId]] = defaultdict(list)
    for detector in detectors:
        by_name[detector.rpartition("@")[0]].append(detector)
    return [
        pair
        for _, versions in sorted(by_name.items())
        for pair in list(pairwise(sorted(versions, key=_natural)))[-MAX_PAIRS:]
    ]


def _natural(version: str) -> list[tuple[int, str]]:
    parts: list[str] = re.findall(r"\d+|\D+", version)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


async def note_comparisons(
    store: ComparisonStore, versions: StoredVersions, detectors: Sequence[DetectorId]
) -> list[ComparisonReport]:
    """Compare consecutive versions, and store what changed in place of what is stored.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    found = {}
    for old, new in consecutive_versions(detectors):
        try:
            report = await versions.compare(old, new, "reference")
        except InvalidRecord:  # they have no frame in common
            continue
        found[old, new] = report
    await store.show(
        {pair: report.without_frames().model_dump_json().encode() for pair, report in found.items()}
    )
    return list(found.values())

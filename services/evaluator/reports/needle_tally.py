"""What a report tells of a detector's needles, and of the regions on their shortlists."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.contracts.events import ErrorType, Sampling
from services.contracts.identity import Category, DetectorId, FrameId, RegionId
from services.domain.failure_modes import FailureMode
from services.domain.metrics.lift import Stratum
from services.domain.mining.failure_model import Method
from services.domain.ports.needles import NeedleRecord, NeedleStore


class Prediction(NamedTuple):
    """The evidence that a shortlisted region fails in the needle's mode."""

    category: Category
    evidence: float
    mode: FailureMode


@dataclass
class NeedleTally:
    """The needles of one detector, and the regions on their shortlists."""

    errors: Counter[ErrorType] = field(default_factory=Counter)
    shortlists: int = 0
    listed: dict[RegionId, Stratum] = field(default_factory=dict)
    predictions: dict[RegionId, Prediction] = field(default_factory=dict)
    drawn: dict[FrameId, Sampling] = field(default_factory=dict)

    def add(self, record: NeedleRecord) -> None:
        """Count a needle, unless it is retracted."""
        if not record.active or record.needle is None:
            return
        self.errors[record.needle.error_type] += 1
        if record.shortlist is None or not record.shortlist.candidates:
            return
        self.shortlists += 1
        candidates = record.shortlist.candidates
        self.drawn |= {item.frame_id: item.sampling for item in candidates if item.sampling}
        if record.is_miss:
            return  # its candidates are places to look at, not false positives
        mode = FailureMode.of(record.needle.error_type, record.needle.true_category)
        learnt = record.shortlist.provenance.method == Method.LOGISTIC
        for candidate in candidates:
            if candidate.sampling is not None:
                continue
            self.listed[candidate.region_id] = Stratum.at(
                candidate.category, candidate.drive_id, candidate.captured_at
            )
            if learnt and candidate.evidence:  # frames for coverage are no claims of failures
                self.predictions[candidate.region_id] = Prediction(
                    candidate.category, candidate.evidence, mode
                )


async def needle_tallies(needles: NeedleStore) -> Mapping[DetectorId, NeedleTally]:
    """The tally of each detector that has had needles.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    tallies: defaultdict[DetectorId, NeedleTally] = defaultdict(NeedleTally)
    async for record in needles.scan():
        if record.needle is not None:
            tallies[record.needle.detector].add(record)
    return dict(tallies)

"""What `gazeloop report` says, from the stores."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.events import ErrorType, FrameMatched, Split
from services.contracts.identity import Category, DetectorId, RegionId
from services.domain.match_state import MatchState
from services.domain.subsets import Subset
from services.evaluator.logic import Evaluation, evaluate, order_holds
from services.runtime.stores.matches import MatchStore
from services.runtime.stores.needles import NeedleRecord, NeedleStore

_CHUNK = 2000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Counts(_Part):
    """How many there are, of all detectors together; needles and shortlists of this one."""

    frames: int
    predictions: int
    ground_truth: int
    needles: int = 0
    shortlists: int = 0
    dead_letters: int = 0


class OperatingReport(_Part):
    """What is shown from the operating score on, over R and H, matched at IoU .5."""

    score: float
    precision: float | None
    recall: float | None
    f1: float | None
    mean_iou: float | None
    true_positives: int
    false_positives: int
    false_negatives: int


class ShortlistReport(_Part):
    """How much of what is shortlisted is wrong, against a random draw of as many regions.

    Of each category as many; a region counts where its frame has ground truth. None where nothing
    counts.
    """

    found: float | None = Field(alias="yield")
    """Share of the shortlisted regions that are false positives at IoU .5."""
    random_yield: float | None
    """Share that a draw from the haystack's regions at the operating score would have."""
    lift: float | None
    """`yield / random_yield`."""
    gain: float | None
    """`(yield - random_yield) / (1 - random_yield)`: 0 is the random draw, 1 is perfect."""
    regions: int
    """Shortlisted regions that count."""


class Report(_Part):
    """Everything about one detector."""

    detector: DetectorId
    counts: Counts
    needles_by_error_type: dict[ErrorType, int]
    map: dict[Subset, dict[str, float | None]]
    order_holds: bool | None
    operating: OperatingReport
    shortlist: ShortlistReport

    def json_text(self) -> str:
        """The report as `gazeloop report --json` prints it."""
        return self.model_dump_json(by_alias=True, indent=2)


@dataclass
class _Tally:
    """Of one detector: its needles, and which haystack regions are wrong."""

    errors: Counter[ErrorType] = field(default_factory=Counter)
    shortlists: int = 0
    shortlisted: set[RegionId] = field(default_factory=set)
    drawn: Counter[Category] = field(default_factory=Counter)
    drawn_wrong: int = 0
    eligible: Counter[Category] = field(default_factory=Counter)
    wrong: Counter[Category] = field(default_factory=Counter)

    def needle(self, record: NeedleRecord) -> None:
        if not record.active or record.needle is None:
            return
        self.errors[record.needle.error_type] += 1
        if record.shortlist is not None and record.shortlist.candidates:
            self.shortlists += 1
            self.shortlisted.update(c.region_id for c in record.shortlist.candidates)

    def match(self, match: FrameMatched, score: float) -> None:
        if match.split is not Split.HAYSTACK:
            return
        for region, shown, error in zip(match.regions, match.scores, match.errors, strict=True):
            wrong = error is not None
            if shown >= score:
                self.eligible[match.category] += 1
                self.wrong[match.category] += wrong
            if region in self.shortlisted:
                self.drawn[match.category] += 1
                self.drawn_wrong += wrong

    def shortlist(self) -> ShortlistReport:
        regions = self.drawn.total()
        # A shortlisted region may have fallen below the operating score since.
        known = {c: n for c, n in self.drawn.items() if self.eligible[c]}
        if not known:
            return ShortlistReport(found=None, random_yield=None, lift=None, gain=None, regions=0)
        found = self.drawn_wrong / regions
        share = sum(n * self.wrong[c] / self.eligible[c] for c, n in known.items())
        random = share / sum(known.values())
        return ShortlistReport(
            found=found,
            random_yield=random,
            lift=found / random if random else None,
            gain=(found - random) / (1 - random) if random < 1 else None,
            regions=regions,
        )


async def build_reports(
    matches: MatchStore, needles: NeedleStore, counts: Counts, operating_score: float
) -> list[Report]:
    """One report per detector, in the order of their ids; none where nothing is matched yet.

    Parameters
    ----------
    counts : what the caller knows; needles and shortlists are counted here

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    tallies: dict[DetectorId, _Tally] = {}
    async for record in needles.scan():
        if record.needle is not None:
            tallies.setdefault(record.needle.detector, _Tally()).needle(record)
    state = MatchState(operating_score)
    chunk: list[FrameMatched] = []
    async for match in matches.scan():
        tallies.setdefault(match.detector, _Tally()).match(match, operating_score)
        chunk.append(match)
        if len(chunk) == _CHUNK:
            await asyncio.to_thread(state.add, chunk)
            chunk = []
    await asyncio.to_thread(state.add, chunk)
    return [_report(state, d, tallies[d], counts, operating_score) for d in sorted(tallies)]


def _report(
    state: MatchState, detector: DetectorId, tally: _Tally, counts: Counts, score: float
) -> Report:
    said = {subset: evaluate(state, detector, subset, score) for subset in Subset}
    found = {"needles": tally.errors.total(), "shortlists": tally.shortlists}
    return Report(
        detector=detector,
        counts=counts.model_copy(update=found),
        needles_by_error_type={kind: tally.errors[kind] for kind in ErrorType},
        map={subset: dict(each.numbers) for subset, each in said.items()},
        order_holds=order_holds({subset: each.numbers["AP"] for subset, each in said.items()}),
        operating=_operating(said[Subset.ALL]),
        shortlist=tally.shortlist(),
    )


def _operating(said: Evaluation) -> OperatingReport:
    names = OperatingReport.model_fields
    return OperatingReport(**{name: getattr(said.operating, name) for name in names})

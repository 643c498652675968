"""What `gazeloop report` says, from the stores."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.events import ErrorType, FrameMatched, Split
from services.contracts.identity import Category, DetectorId, RegionId
from services.domain.calibration import calibration
from services.domain.error_costs import ErrorCosts
from services.domain.failure_model import Method, Mode
from services.domain.lift import Lift, LiftPool, Stratum
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
    """How much of what is shortlisted is wrong, against draws of as many regions.

    Of each category, drive and hour as many; a region counts where its frame has ground truth. None
    where nothing counts, or where a ratio is not defined.
    """

    found: float | None = Field(alias="yield", default=None)
    """Share of the shortlisted regions that are false positives at IoU .5."""
    random_yield: float | None = None
    """Share that a random draw would have."""
    lowest_yield: float | None = None
    """Share of the draw that has the lowest scores."""
    lift: float | None = None
    """`yield / random_yield`."""
    lift_over_lowest: float | None = None
    """`yield / lowest_yield`."""
    gain: float | None = None
    """`(yield - random_yield) / (1 - random_yield)`: 0 is the random draw, 1 is perfect."""
    intervals: dict[str, tuple[float, float]] = {}
    """95% of each of these, by name."""
    confirmed: int = 0
    rejected: int = 0
    """Shortlisted regions that count, wrong and right."""
    regions: int = 0
    """Both."""

    @classmethod
    def of(cls, said: Lift | None) -> Self:
        """What a pool said."""
        if said is None:
            return cls()
        named = {
            "yield": said.found,
            "random_yield": said.random,
            "lowest_yield": said.lowest,
            "lift": said.over_random,
            "lift_over_lowest": said.over_lowest,
            "gain": said.gain,
        }
        values = {name: each.value for name, each in named.items() if each is not None}
        return cls(
            **values,
            intervals={name: (i.low, i.high) for name, i in named.items() if i is not None},
            confirmed=said.confirmed,
            rejected=said.rejected,
            regions=said.confirmed + said.rejected,
        )


class CalibrationReport(_Part):
    """How well the evidence of learnt models says how probably a region fails in the needle's mode.

    By shortlisted regions whose frames have ground truth; None where there are none.
    """

    error: float | None = None
    """Expected calibration error over ten bins."""
    said: float | None = None
    """Mean evidence."""
    came_true: float | None = None
    """Share that does fail in that mode."""
    count: int = 0

    @classmethod
    def of(cls, judged: Sequence[tuple[float, bool]]) -> Self:
        """Evidence, and whether it came true."""
        found = calibration([said for said, _ in judged], [true for _, true in judged])
        return cls() if found is None else cls(**asdict(found))


class Report(_Part):
    """Everything about one detector."""

    detector: DetectorId
    counts: Counts
    needles_by_error_type: dict[ErrorType, int]
    error_costs: dict[str, float] = {}
    """AP at IoU .5 that each kind of error costs on all frames; empty where it was not asked."""
    map: dict[Subset, dict[str, float | None]]
    order_holds: bool | None
    operating: OperatingReport
    shortlist: ShortlistReport
    calibration: CalibrationReport
    calibration_by_category: dict[Category, CalibrationReport]
    """Of the categories that have any."""

    def with_costs(self, said: ErrorCosts) -> Self:
        """The same, with what errors cost."""
        costs = {kind.value: cost for kind, cost in said.costs.items()}
        return self.model_copy(update={"error_costs": costs})

    def json_text(self) -> str:
        """The report as `gazeloop report --json` prints it."""
        return self.model_dump_json(by_alias=True, indent=2)


@dataclass
class _Tally:
    """Of one detector: its needles, and what is shortlisted for them."""

    errors: Counter[ErrorType] = field(default_factory=Counter)
    shortlists: int = 0
    listed: dict[RegionId, Stratum] = field(default_factory=dict)
    lift: Lift | None = None
    said: dict[RegionId, tuple[float, Mode]] = field(default_factory=dict)
    judged: dict[Category, list[tuple[float, bool]]] = field(default_factory=dict)

    def needle(self, record: NeedleRecord) -> None:
        if not record.active or record.needle is None:
            return
        self.errors[record.needle.error_type] += 1
        if record.shortlist is not None and record.shortlist.candidates:
            self.shortlists += 1
            self.listed |= {
                each.region_id: Stratum.at(each.category, each.drive_id, each.captured_at)
                for each in record.shortlist.candidates
            }
            if record.shortlist.provenance.method == Method.LOGISTIC:
                mode = Mode.of(record.needle.error_type, record.needle.true_category)
                said = {each.region_id: each.evidence for each in record.shortlist.candidates}
                self.said |= {region: (evidence, mode) for region, evidence in said.items()}

    def judge(self, match: FrameMatched) -> None:
        """Note what became of the evidence for this match's regions."""
        for region, error, truth in zip(
            match.regions, match.errors, match.true_categories, strict=True
        ):
            if region in self.said:
                evidence, mode = self.said[region]
                fails = error is not None and Mode.of(error, truth) == mode
                self.judged.setdefault(match.category, []).append((evidence, fails))


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
    pools = {d: LiftPool(tally.listed, operating_score) for d, tally in tallies.items()}
    state = MatchState(operating_score)

    def take_in(some: Sequence[FrameMatched]) -> None:
        for match in some:
            tallies.setdefault(match.detector, _Tally())
            if match.split is Split.HAYSTACK and match.detector in pools:
                pools[match.detector].add(match)
                tallies[match.detector].judge(match)
        state.add(some)

    chunk: list[FrameMatched] = []
    async for match in matches.scan():
        chunk.append(match)
        if len(chunk) == _CHUNK:
            await asyncio.to_thread(take_in, chunk)
            chunk = []
    await asyncio.to_thread(take_in, chunk)
    for detector, pool in pools.items():
        tallies[detector].lift = await asyncio.to_thread(pool.lift)
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
        shortlist=ShortlistReport.of(tally.lift),
        calibration=CalibrationReport.of([each for of in tally.judged.values() for each in of]),
        calibration_by_category={
            category: CalibrationReport.of(judged)
            for category, judged in sorted(tally.judged.items())
        },
    )


def _operating(said: Evaluation) -> OperatingReport:
    names = OperatingReport.model_fields
    return OperatingReport(**{name: getattr(said.operating, name) for name in names})

"""Failure modes: active needles of one detector, category, error type and true category."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.contracts.events import ErrorType, NeedleFound
from services.contracts.identity import Category
from services.runtime.stores.mongo import Database, Document, translated

_BINS = 16


@dataclass(frozen=True)
class Mode:
    """A failure mode.

    Attributes
    ----------
    exemplar : the needle that the detector is surest of
    trend : how many needles were captured in each of 16 equal spans from the first to the last
        needle of all modes
    """

    detector: str
    category: Category
    error_type: ErrorType
    true_category: Category | None
    size: int
    exemplar: NeedleFound
    first_seen: datetime
    last_seen: datetime
    trend: tuple[int, ...]


class MongoModes:
    """Reads the collection `needles`."""

    def __init__(self, database: Database) -> None:
        self._needles = database["needles"]

    async def modes(self) -> list[Mode]:
        """All modes, the largest first.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        parts = ("detector", "category", "error_type", "true_category")
        group: Document = {
            "_id": {name: f"$needle.{name}" for name in parts},
            "size": {"$sum": 1},
            "times": {"$push": "$needle.captured_at"},
            "best": {"$max": {"score": "$needle.score", "id": "$_id"}},
        }
        pipeline: list[Document] = [
            {"$match": {"state.active": True, "needle": {"$exists": True}}},
            {"$project": {f"needle.{n}": 1 for n in (*parts, "captured_at", "score")}},
            {"$group": group},
        ]
        with translated():
            found = await (await self._needles.aggregate(pipeline)).to_list()
            ids = [document["best"]["id"] for document in found]
            best = await self._needles.find({"_id": {"$in": ids}}, {"needle": 1}).to_list()
        exemplars = {
            each["_id"]: NeedleFound.model_validate(each["needle"], extra="ignore") for each in best
        }
        times = [[_time(text) for text in document["times"]] for document in found]
        first = min((min(each) for each in times), default=datetime.min.replace(tzinfo=UTC))
        last = max((max(each) for each in times), default=first)
        modes = [
            _mode(document, exemplars[document["best"]["id"]], seen, first, last)
            for document, seen in zip(found, times, strict=True)
            if document["best"]["id"] in exemplars
        ]
        return sorted(modes, key=lambda mode: (-mode.size, mode.category, mode.error_type))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _mode(
    document: Document,
    exemplar: NeedleFound,
    seen: list[datetime],
    first: datetime,
    last: datetime,
) -> Mode:
    span = (last - first).total_seconds() or 1.0
    trend = [0] * _BINS
    for time in seen:
        trend[min(int((time - first).total_seconds() / span * _BINS), _BINS - 1)] += 1
    key = document["_id"]
    return Mode(
        detector=key["detector"],
        category=key["category"],
        error_type=ErrorType(key["error_type"]),
        true_category=key.get("true_category"),
        size=document["size"],
        exemplar=exemplar,
        first_seen=min(seen),
        last_seen=max(seen),
        trend=tuple(trend),
    )

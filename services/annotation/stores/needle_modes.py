"""Needles counted by failure mode and family, by MongoDB."""

from datetime import UTC, datetime

from services.annotation.ports.needle_modes import FailureModeCounts
from services.contracts.bounds import is_possible_time
from services.contracts.events import ErrorType, NeedleFound
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable

_BINS = 16
_INDEX = [
    (field, 1)
    for field in (
        *("state.active", "needle.detector", "needle.category", "needle.error_type"),
        *("needle.true_category", "mark.family", "mark.exemplar", "mark.resolved"),
        *("mark.suspicion", "needle.captured_at", "needle.score", "_id"),
    )
]
"""Every field that modes are made of: without it, the shortlists of all needles are read too."""


class MongoModes:
    """Reads the collection `needles`."""

    def __init__(self, database: Database) -> None:
        self._needles = database["needles"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._needles.create_index(_INDEX, name="failure_modes")

    async def modes(self) -> list[FailureModeCounts]:
        parts = ("detector", "category", "error_type", "true_category")
        group: Document = {
            "_id": {name: f"$needle.{name}" for name in parts} | {"family": "$mark.family"},
            "size": {"$sum": 1},
            "times": {"$push": "$needle.captured_at"},
            "best": {"$max": {"face": "$mark.exemplar", "score": "$needle.score", "id": "$_id"}},
            "resolved": {"$max": "$mark.resolved"},
            "suspects": {"$sum": {"$cond": [{"$gt": ["$mark.suspicion", None]}, 1, 0]}},
        }
        pipeline: list[Document] = [{"$match": {"state.active": True}}, {"$group": group}]
        with translated():
            grouped = await (await self._needles.aggregate(pipeline)).to_list()
            found = [group for group in grouped if group["_id"].get("category")]
            ids = [document["best"]["id"] for document in found]
            best = await self._needles.find({"_id": {"$in": ids}}, {"needle": 1}).to_list()
        needles = readable("needles", best, _needle)
        exemplars = {needle.needle_id: needle for needle in needles}
        found = [document for document in found if document["best"]["id"] in exemplars]
        times = [_times(document) for document in found]
        first = min((min(time_) for time_ in times), default=datetime.min.replace(tzinfo=UTC))
        last = max((max(time_) for time_ in times), default=first)
        modes = [
            _mode(document, exemplars[document["best"]["id"]], seen, first, last)
            for document, seen in zip(found, times, strict=True)
        ]
        return sorted(modes, key=_order)


def _order(mode: FailureModeCounts) -> tuple[object, ...]:
    return (mode.resolved, -mode.size, mode.category, mode.error_type)


def _needle(document: Document) -> NeedleFound:
    return NeedleFound.model_validate(document["needle"], extra="ignore")


def _times(document: Document) -> list[datetime]:
    """When the needles were captured, without impossible times."""
    times = [datetime.fromisoformat(text) for text in document["times"]]
    # Never empty: the exemplar's time is possible.
    return [time for time in times if is_possible_time(time)]


def _mode(
    document: Document,
    exemplar: NeedleFound,
    seen: list[datetime],
    first: datetime,
    last: datetime,
) -> FailureModeCounts:
    span = (last - first).total_seconds() or 1.0
    trend = [0] * _BINS
    for time in seen:
        trend[min(int((time - first).total_seconds() / span * _BINS), _BINS - 1)] += 1
    key = document["_id"]
    return FailureModeCounts(
        detector=key["detector"],
        category=key["category"],
        error_type=ErrorType(key["error_type"]),
        true_category=key.get("true_category"),
        size=document["size"],
        exemplar=exemplar,
        first_seen=min(seen),
        last_seen=max(seen),
        trend=tuple(trend),
        family=key.get("family"),
        resolved=bool(document["resolved"]),
        suspects=document["suspects"],
    )

"""Needles counted by failure mode and family, by MongoDB."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.annotation.ports.needle_modes import FailureModeCounts
from services.contracts.bounds import FIRST_TIME, LAST_TIME
from services.contracts.events import ErrorType
from services.contracts.needles import NeedleFound
from services.runtime.stores.mongo import Database, Document, literal, translated
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
_MODE: Final = ("detector", "category", "error_type", "true_category")
_ACTIVE: Final[Document] = {"state.active": True}
_TIME: Final = "$needle.captured_at"
_POSSIBLE: Final = {"$gte": FIRST_TIME.isoformat(), "$lt": LAST_TIME.isoformat()}
"""The order of texts is that of times; here as for the lists that are sorted by time."""
_IS_POSSIBLE: Final[Document] = {"$and": [{name: [_TIME, at]} for name, at in _POSSIBLE.items()]}
_SEEN: Final[Document] = {"$cond": [_IS_POSSIBLE, _TIME, None]}


class MongoModes:
    """Reads the collection `needles`."""

    def __init__(self, database: Database) -> None:
        self._needles = database["needles"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._needles.create_index(_INDEX, name="failure_modes")

    async def modes(self) -> list[FailureModeCounts]:
        with translated():
            starts = _span_starts(await self._seen(1), await self._seen(-1))
            grouped = await (await self._needles.aggregate(_counted(starts))).to_list()
            found = [group for group in grouped if group["_id"].get("category")]
            ids = [document["best"]["id"] for document in found]
            best = await self._needles.find({"_id": {"$in": ids}}, {"needle": 1}).to_list()
        needles = readable("needles", best, _needle)
        exemplars = {needle.needle_id: needle for needle in needles}
        modes = [
            _mode(document, exemplars[document["best"]["id"]])
            for document in found
            if document["best"]["id"] in exemplars
        ]
        return sorted(modes, key=_order)

    async def _seen(self, direction: int) -> datetime:
        """The first possible time of capture, or with -1 the last; found by the lists' index."""
        where = {**_ACTIVE, "needle.captured_at": _POSSIBLE}
        order = [("needle.captured_at", direction), ("_id", direction)]
        found = await self._needles.find_one(where, {"needle.captured_at": 1}, sort=order)
        return datetime.fromisoformat(found["needle"]["captured_at"]) if found else FIRST_TIME


def _span_starts(first: datetime, last: datetime) -> list[str]:
    """When the second of the equal spans begins, and each one after it."""
    width = (last - first) / _BINS
    return [(first + number * width).isoformat() for number in range(1, _BINS)]


def _counted(starts: Sequence[str]) -> list[Document]:
    """The pipeline that counts needles by mode; first by span too, which are few documents."""
    parts = {name: f"$needle.{name}" for name in _MODE} | {"family": "$mark.family"}
    of_spans: Document = {
        "_id": parts | {"span": {"$cond": [_IS_POSSIBLE, _span(starts), None]}},
        "size": {"$sum": 1},
        "first": {"$min": _SEEN},
        "last": {"$max": _SEEN},
        "best": {"$max": {"face": "$mark.exemplar", "score": "$needle.score", "id": "$_id"}},
        "resolved": {"$max": "$mark.resolved"},
        "suspects": {"$sum": {"$cond": [{"$gt": ["$mark.suspicion", None]}, 1, 0]}},
    }
    span = {"number": "$_id.span", "size": "$size"}
    of_modes: Document = {
        "_id": {name: f"$_id.{name}" for name in parts},
        "spans": {"$push": span},
        **{name: {"$sum": f"${name}"} for name in ("size", "suspects")},
        **{name: {"$max": f"${name}"} for name in ("last", "best", "resolved")},
        "first": {"$min": "$first"},
    }
    return [{"$match": _ACTIVE}, {"$group": of_spans}, {"$group": of_modes}]


def _span(starts: Sequence[str], before: int = 0) -> Document:
    """The number of a needle's span, by halving: reading times as dates takes six times as long."""
    if not starts:
        return literal(before)
    middle = len(starts) // 2
    earlier = _span(starts[:middle], before)
    later = _span(starts[middle + 1 :], before + middle + 1)
    return {"$cond": [{"$lt": [_TIME, starts[middle]]}, earlier, later]}


def _order(mode: FailureModeCounts) -> tuple[object, ...]:
    return (mode.resolved, -mode.size, mode.category, mode.error_type)


def _needle(document: Document) -> NeedleFound:
    return NeedleFound.model_validate(document["needle"], extra="ignore")


def _mode(document: Document, exemplar: NeedleFound) -> FailureModeCounts:
    trend = [0] * _BINS
    for span in document["spans"]:
        if span["number"] is not None:  # of possible times
            trend[span["number"]] = span["size"]
    key = document["_id"]
    return FailureModeCounts(
        detector=key["detector"],
        category=key["category"],
        error_type=ErrorType(key["error_type"]),
        true_category=key.get("true_category"),
        size=document["size"],
        exemplar=exemplar,
        first_seen=_time(document["first"], exemplar),
        last_seen=_time(document["last"], exemplar),
        trend=tuple(trend),
        family=key.get("family"),
        resolved=bool(document["resolved"]),
        suspects=document["suspects"],
    )


def _time(text: str | None, exemplar: NeedleFound) -> datetime:
    """The time; that of the exemplar if all texts are out of bounds."""
    return datetime.fromisoformat(text) if text else exemplar.captured_at

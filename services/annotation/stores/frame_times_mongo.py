"""The times at which facts about a frame were stored, by MongoDB's clock."""

from datetime import datetime
from typing import Final

from services.annotation.ports.frame_times import TruthRevision
from services.contracts.identity import FrameId
from services.runtime.stores.mongo import Database, text_of_field, translated


class MongoFrameTimes:
    """Reads times from a frame's parts, its matches and needles; the oldest documents lack them."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._predictions = database["predictions"]
        self._embeddings = database["embeddings"]
        self._matches = database["matches"]
        self._needles = database["needles"]

    async def of(self, frame_id: FrameId) -> dict[str, datetime]:
        by_frame = {"frame_id": frame_id}
        naming = {"shortlist.event.candidates.frame_id": frame_id}
        with translated():
            found = await self._frames.find_one({"_id": frame_id}, dict.fromkeys(_STORED, 1)) or {}
            predictions = await self._predictions.find(
                by_frame, {"detector": 1, "stored": 1}
            ).to_list()
            embedded = await self._embeddings.find_one({"_id": frame_id}, {"embedded": 1})
            matches = await self._matches.find(by_frame, {"matched_at": 1}).to_list()
            needles = await self._needles.find(by_frame, {"times.state": 1}).to_list()
            shortlists = await self._needles.find(naming, {"times.shortlist": 1}).to_list()
        last = {
            "matched": _latest([match_.get("matched_at") for match_ in matches]),
            "needles": _latest([needle.get("times", {}).get("state") for needle in needles]),
            "shortlisted": _latest(
                [shortlist.get("times", {}).get("shortlist") for shortlist in shortlists]
            ),
        }
        known = {name: at for name, at in last.items() if at is not None}
        times = {name: found.get(field) for field, name in _STORED.items()}
        times |= {f"predictions {item['detector']}": item.get("stored") for item in predictions}
        known |= {name: at.as_datetime() for name, at in times.items() if at is not None}
        for name, part in (embedded or {}).get("embedded", {}).items():
            if "at" in part:  # older documents lack it
                known[f"embedded {text_of_field(name)}"] = part["at"]
        return known

    async def revisions(self, frame_id: FrameId) -> list[TruthRevision]:
        with translated():
            found = await self._frames.find_one({"_id": frame_id}, {"revisions": 1})
        revisions = found.get("revisions", {}) if found else {}
        return sorted(
            (TruthRevision(int(number), **details) for number, details in revisions.items()),
            key=lambda item: -item.revision,
        )


_STORED: Final = {"captured_stored": "captured", "truth_stored": "ground_truth"}
"""The fields of a frame with the time of each part."""


def _latest(times: list[datetime | None]) -> datetime | None:
    return max((time_ for time_ in times if time_ is not None), default=None)

"""Every collection of the code is erased from, or holds nothing about frames; and has writers."""

import re
from pathlib import Path

from services.annotation.stores.frame_traces import of_annotation
from services.runtime.stores import frame_traces
from services.runtime.stores.frame_traces import MongoTraces
from services.runtime.stores.mongo import connect
from services.runtime.stores.tokens_mongo import TOKENS
from services.runtime.stores.tombstones_mongo import TOMBSTONES
from tests.mongodb_users import WRITERS

ROOT = Path(__file__).parents[3]
_OPENED = re.compile(r'database\[(?:"(\w+)"|(\w+))\]')
BY_HAND = {
    *{"pictures", "needles", "reviews", "review_claims", "annotation_asks"},
    *{"epoch_changes", "failure_models"},
}
"""Erased from by a class of their own."""
CONSTANTS = {
    "TOMBSTONES": TOMBSTONES,
    "TOKENS": TOKENS,
    "OLD_FRAMES": "frames_v1",
    "OLD_MATCHES": "matches_v1",
    "_STORES": "stores",
    "_SCHEMAS": "schemas",
    "_CHECKPOINTS": "migration",
}


async def test_every_collection_is_erased_from_or_known_to_hold_no_frames() -> None:
    opened = {
        name or CONSTANTS.get(constant, constant)
        for path in (ROOT / "services").rglob("*.py")
        for name, constant in _OPENED.findall(path.read_text())
    } - {"name", "source", "old", "collection"}  # these loop over others
    assert opened == set(WRITERS["writers"])
    database = connect("mongodb://127.0.0.1:1", "none")
    traces = [
        *of_annotation(database),
        *frame_traces.of_embedder(database),
        *frame_traces.of_fp_miner(database),
        *frame_traces.of_retriever(database),
        *frame_traces.of_operators(database),
    ]
    erased = {item.collection for item in traces if isinstance(item, MongoTraces)} | BY_HAND
    await database.client.close()
    assert opened - {TOMBSTONES} <= erased | frame_traces.WITHOUT_FRAMES
    assert not erased & frame_traces.WITHOUT_FRAMES

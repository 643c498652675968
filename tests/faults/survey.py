"""A small survey over HTTP, published by vehicles that try again until they are heard."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from services.contracts.events import Split
from services.contracts.identity import FrameId
from services.runtime.settings import Settings
from tests.unit.ingest.datasets import Json, jpeg

CATEGORIES = ("stop sign", "traffic light")
_RIGHT = [4.0, 4.0, 20.0, 20.0]
_WRONG = [36.0, 20.0, 20.0, 20.0]


@dataclass(frozen=True)
class Fact:
    """One request: its path, and a body that publishing again repeats."""

    path: str
    frame_id: str
    body: Json


def facts(frames: int, seed: int, first: int = 0) -> list[Fact]:
    """Frames, predictions and ground truth, in an order in which anything may come first.

    On every frame the detector is right once and wrong once, on the background, with a score that
    is above the other's on some frames: no average precision is 1.

    Parameters
    ----------
    first : number of the first frame
    """
    found = []
    for number in range(first, first + frames):
        frame_id = f"v1:{number:05d}"
        category = CATEGORIES[number % len(CATEGORIES)]
        right: Json = {"category": category, "bbox": _RIGHT}
        wrong: Json = {"category": category, "bbox": _WRONG}
        found += [
            Fact(
                "/v1/frames",
                frame_id,
                {"frame_id": frame_id, "captured_at": "2026-05-04T10:00:00Z"},
            ),
            Fact(
                "/v1/predictions",
                frame_id,
                {
                    "frame_id": frame_id,
                    "detector": "ods",
                    "version": "1",
                    "detections": [
                        right | {"score": 0.9},
                        wrong | {"score": 0.8 + number % 20 / 100},
                    ],
                },
            ),
            # Imported, not corrected: a frame that is corrected before it is listed never is.
            Fact(
                "/v1/ground-truth",
                frame_id,
                {"frame_id": frame_id, "annotation_source": "import", "annotations": [right]},
            ),
        ]
    random.Random(seed).shuffle(found)
    return found


def reference_frames(published: Sequence[Fact], settings: Settings) -> set[str]:
    """The frames that are searched for needles."""
    rule = settings.split_rule
    return {
        fact.frame_id
        for fact in published
        if rule.split_of(FrameId(fact.frame_id), None) is Split.REFERENCE
    }


class Publisher:
    """Publishes facts, each until it is acknowledged; `acknowledged` counts them."""

    def __init__(self, url: str, vehicle_token: str, annotation_token: str) -> None:
        self.acknowledged = 0
        self._url = url
        self._tokens = {"/v1/ground-truth": annotation_token}
        self._vehicle_token = vehicle_token

    async def publish(self, wanted: Sequence[Fact], *, pause_s: float) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as client:
            for fact in wanted:
                while not await self._accepted(client, fact):  # noqa: ASYNC110  # nobody tells us
                    await asyncio.sleep(0.2)
                self.acknowledged += 1
                await asyncio.sleep(pause_s)

    async def _accepted(self, client: httpx.AsyncClient, fact: Fact) -> bool:
        token = self._tokens.get(fact.path, self._vehicle_token)
        headers = {"Authorization": f"Bearer {token}"}
        try:
            if fact.path == "/v1/frames":
                answer = await client.post(
                    fact.path,
                    headers=headers,
                    data={"metadata": json.dumps(fact.body)},
                    files={"image": ("frame.jpg", _picture(fact.frame_id), "image/jpeg")},
                )
            else:
                answer = await client.post(fact.path, headers=headers, json=fact.body)
        except httpx.TransportError:
            return False
        assert answer.status_code in {202, 429, 503}, answer.text
        return answer.status_code == 202


def _picture(frame_id: str) -> bytes:
    return jpeg(int(frame_id.partition(":")[2]))

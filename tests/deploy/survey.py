"""A small survey over HTTP: enough for every figure that a dashboard shows."""

import asyncio
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import httpx

from services.contracts.events import Annotation, FrameAnnotated, Split
from services.contracts.identity import DriveId, FrameId
from services.domain.splits import SplitRule
from tests.unit.ingest.datasets import jpeg

Request = tuple[str, str, dict[str, Any]]
"""The scope of its token, its path and its body."""

FRAMES = 80
_VEHICLES = ("v1", "v2")
_CATEGORIES = ("stop sign", "traffic light")
_RIGHT = [4.0, 4.0, 20.0, 20.0]
_WRONG = [36.0, 20.0, 20.0, 20.0]
_CORRECTED = 4
_DETECTORS = (("ods", "1"), ("ods", "2"))


def _frame(number: int) -> tuple[str, str]:
    vehicle = _VEHICLES[number % len(_VEHICLES)]
    return vehicle, f"{vehicle}:{number:04d}"


def _drive(number: int) -> str:
    return f"{_VEHICLES[number % len(_VEHICLES)]}:{number // 8}"


def reference_frames(rule: SplitRule) -> set[str]:
    """The frames that are searched for needles."""
    return {
        frame_id
        for number in range(FRAMES)
        for _, frame_id in [_frame(number)]
        if rule.split_of(FrameId(frame_id), DriveId(_drive(number))) is Split.REFERENCE
    }


def _detections(number: int, version: str) -> list[dict[str, Any]]:
    category = _CATEGORIES[number // 2 % len(_CATEGORIES)]
    found = [{"category": category, "bbox": _RIGHT, "score": 0.9}]
    if number % (2 if version == "1" else 3) == 0:
        found.append({"category": category, "bbox": _WRONG, "score": 0.8})
    return found


def requests() -> Iterator[Request]:
    """Who says what, and where: frames, two versions' predictions, and some corrections."""
    for number in range(FRAMES):
        vehicle, frame_id = _frame(number)
        captured = f"2026-05-04T10:{number // 60:02d}:{number % 60:02d}Z"
        metadata = {"frame_id": frame_id, "captured_at": captured, "drive_id": _drive(number)}
        yield f"vehicle:{vehicle}", "/v1/frames", metadata
        for detector, version in _DETECTORS:
            made = {"frame_id": frame_id, "detector": detector, "version": version}
            made_here = made | {"detections": _detections(number, version)}
            yield f"vehicle:{vehicle}", "/v1/predictions", made_here
        if number < _CORRECTED:
            yield "annotation", "/v1/ground-truth", {"frame_id": frame_id, "annotations": []}


def ground_truth() -> list[FrameAnnotated]:
    """What an import said before: what comes over HTTP is a correction, and not asked for again."""
    return [
        FrameAnnotated(
            frame_id=FrameId(_frame(number)[1]),
            annotations=(
                Annotation(
                    category=_detections(number, "1")[0]["category"], bbox=(4.0, 4.0, 20.0, 20.0)
                ),
            ),
        )
        for number in range(_CORRECTED, FRAMES)
    ]


async def publish(url: str, tokens: dict[str, str], needles_in: Collection[str]) -> None:
    """Send all but the predictions on the frames of which needles come; see `publish_needles`."""
    await _send_all(url, tokens, [r for r in requests() if not _makes_needles(r, needles_in)])


async def publish_needles(url: str, tokens: dict[str, str], needles_in: Collection[str]) -> None:
    """Send the predictions of which needles come.

    A needle counts toward latency if it gets a shortlist at once, which it does for sure only
    where the haystack's vectors are there before it.
    """
    await _send_all(url, tokens, [r for r in requests() if _makes_needles(r, needles_in)])


def _makes_needles(request: Request, frames: Collection[str]) -> bool:
    _, path, body = request
    return path == "/v1/predictions" and body["frame_id"] in frames


async def _send_all(url: str, tokens: dict[str, str], chosen: Sequence[Request]) -> None:
    """Send requests, some at a time; every one is accepted."""
    async with httpx.AsyncClient(base_url=url, timeout=240) as client:

        async def send(number: int, scope: str, path: str, body: dict[str, Any]) -> None:
            headers = {"Authorization": f"Bearer {tokens[scope]}"}
            parts: dict[str, Any] = {"json": body}
            if path == "/v1/frames":
                picture = ("frame.jpg", jpeg(number), "image/jpeg")
                parts = {"data": {"metadata": json.dumps(body)}, "files": {"image": picture}}
            async with at_once:
                answer = await client.post(path, headers=headers, **parts)
            assert answer.status_code == 202, answer.text

        at_once = asyncio.Semaphore(8)
        async with asyncio.TaskGroup() as sending:
            for number, request in enumerate(chosen):
                sending.create_task(send(number, *request))

"""A small survey over HTTP: enough for every figure that a dashboard shows."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx

from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import FrameId
from tests.unit.ingest.datasets import jpeg

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


def _detections(number: int, version: str) -> list[dict[str, Any]]:
    category = _CATEGORIES[number // 2 % len(_CATEGORIES)]
    found = [{"category": category, "bbox": _RIGHT, "score": 0.9}]
    if number % (2 if version == "1" else 3) == 0:
        found.append({"category": category, "bbox": _WRONG, "score": 0.8})
    return found


def requests() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Who says what, and where: frames, two versions' predictions, and some corrections."""
    for number in range(FRAMES):
        vehicle, frame_id = _frame(number)
        captured = f"2026-05-04T10:{number // 60:02d}:{number % 60:02d}Z"
        drive = f"{vehicle}:{number // 8}"
        metadata = {"frame_id": frame_id, "captured_at": captured, "drive_id": drive}
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


async def publish(url: str, tokens: dict[str, str]) -> None:
    """Send all of it, some at a time; every request is accepted."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

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
            for number, request in enumerate(requests()):
                sending.create_task(send(number, *request))

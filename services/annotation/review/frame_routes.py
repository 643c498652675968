"""The page of one frame: detections, ground truth, needles, shortlists, pipeline history."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from services.annotation.review.context import ReviewContext
from services.annotation.review.guard import Form, In, whole_number
from services.annotation.review.overlay import whole
from services.annotation.review.rendering import Pages
from services.annotation.stores.drive_frames import DriveNeighbours
from services.contracts.events import FrameAnnotated, PredictionsMade
from services.contracts.identity import DetectorId, FrameId
from services.domain.ports.frames import FrameRecord

_LONGEST_ID = 200
_FOUND = 50
_SIDES = 2
_OVERTAKEN = (
    "The frame's ground truth has changed since you loaded the page. Your change was not saved."
)


@dataclass(frozen=True)
class Step:
    """One step of a frame's pipeline history; `at` if its time is known."""

    name: str
    there: bool
    text: str
    at: datetime | None = None


def frame_routes(context: ReviewContext, pages: Pages) -> APIRouter:
    """Routes of a frame."""
    router = APIRouter()

    @router.get("/frames")
    async def frame(request: Request, session: In, id: str = "") -> Response:  # noqa: A002  # the URL's name
        record = await _loaded(context, id)
        if record is None:
            return await _search(context, pages, request, session, id)
        frame_id = record.frame_id
        truth, needles, shortlists, corrections, matched = await asyncio.gather(
            context.corrector.ground_truth(record),
            context.lists.of_frame(frame_id),
            context.lists.naming(frame_id),
            context.reviews.of_frame(frame_id),
            context.matches.load([frame_id]),
        )
        times, revisions, neighbours = await asyncio.gather(
            context.times.of(frame_id), context.times.revisions(frame_id), _beside(context, record)
        )
        compared = _compared(record, request.query_params)
        pictures = [
            whole(record, truth, detector=name, alt=f"frame {frame_id}, {name or 'no predictions'}")
            for name in (*compared,) or (None,)
        ]
        return pages.html(
            request,
            "frame.html",
            session=session,
            record=record,
            truth=truth,
            needles=needles,
            shortlists=shortlists,
            corrections=corrections,
            revisions=revisions,
            beside=neighbours,
            pictures=pictures,
            compared=compared,
            steps=_steps(record, truth, times, len(matched), len(needles), len(shortlists)),
            tool=context.settings.annotation_tool,
            searches=context.similar is not None,
            crops=context.similar is not None and context.similar.embedder is not None,
            count_copies=context.settings.count_copies,
        )

    @router.post("/frames/complete")
    async def declare_complete(request: Request, session: In, form: Form) -> Response:
        record = await _record(context, str(form.get("id", "")))
        truth = await context.corrector.ground_truth(record)
        if truth is None or truth.revision != whole_number(form.get("revision")):
            raise HTTPException(HTTPStatus.CONFLICT, _OVERTAKEN)
        if (
            not truth.complete
            and await context.corrector.declare_complete(truth, session.by) is None
        ):
            raise HTTPException(HTTPStatus.CONFLICT, _OVERTAKEN)
        root = request.scope.get("root_path", "").rstrip("/")
        address = f"{root}/frames?{urlencode({'id': record.frame_id})}"
        return RedirectResponse(address, HTTPStatus.SEE_OTHER)

    return router


def _compared(record: FrameRecord, params: Mapping[str, str]) -> list[DetectorId]:
    """The detectors whose predictions are drawn side by side: those asked for, or the last two."""
    known = sorted(record.predictions)
    asked = [DetectorId(name) for side in ("left", "right") if (name := params.get(side, ""))]
    return asked if len(asked) == _SIDES and set(asked) <= set(known) else known[-_SIDES:]


async def _beside(context: ReviewContext, record: FrameRecord) -> DriveNeighbours:
    captured = record.captured
    if captured is None or captured.drive_id is None:
        return DriveNeighbours()
    return await context.drives.beside(record.frame_id, captured.drive_id, captured.captured_at)


async def _record(context: ReviewContext, text: str) -> FrameRecord:
    record = await _loaded(context, text)
    if record is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no frame {_part(text)!r}.")
    return record


async def _loaded(context: ReviewContext, text: str) -> FrameRecord | None:
    frame_id = FrameId(_part(text))
    return (await context.frames.load([frame_id])).get(frame_id)


def _part(text: str) -> str:
    return text.strip()[:_LONGEST_ID]


async def _search(
    context: ReviewContext, pages: Pages, request: Request, session: In, text: str
) -> Response:
    """The frames and needles whose ids contain a text; a single one is opened."""
    part = _part(text)
    frames, needles = (
        await asyncio.gather(context.ids.frames(part, _FOUND), context.ids.needles(part, _FOUND))
        if part
        else ([], [])
    )
    if not frames and not needles:
        detail = f"There is no frame {part!r}, and no id of a frame or needle contains it."
        raise HTTPException(HTTPStatus.NOT_FOUND, detail)
    if len(frames) + len(needles) == 1:
        root = request.scope.get("root_path", "").rstrip("/")
        path = f"needles/{needles[0]}" if needles else f"frames?{urlencode({'id': frames[0]})}"
        return RedirectResponse(f"{root}/{path}", HTTPStatus.SEE_OTHER)
    return pages.html(
        request,
        "found.html",
        session=session,
        part=part,
        frames=frames,
        needles=needles,
        most=_FOUND,
    )


def _steps(
    record: FrameRecord,
    truth: FrameAnnotated | None,
    times: dict[str, datetime],
    *counts: int,
) -> list[Step]:
    matched, needles, shortlists = counts
    captured = record.captured
    steps = [
        Step(
            "Captured",
            captured is not None,
            f"by {captured.vehicle_id}" if captured else "",
            captured.captured_at if captured else None,
        ),
        Step("Received by Gazeloop", captured is not None, "", times.get("captured")),
    ]
    for detector, predictions in record.predictions.items():
        at = times.get(f"predictions {detector}")
        text = _counted(len(predictions.detections), "detection", "detections")
        text += f" of {detector}{_partial(predictions)}"
        steps.append(Step("Predicted", there=True, text=text, at=at))
    if not record.predictions:
        steps.append(Step("Predicted", there=False, text="no predictions yet"))
    text = "not yet"
    if truth is not None:
        objects = _counted(len(truth.annotations), "object", "objects")
        text = f"revision {truth.revision}, {objects}{_partial(truth)}"
    steps.append(Step("Annotated", truth is not None, text, times.get("ground_truth")))
    embedded = {name: at for name, at in times.items() if name.startswith("embedded ")}
    for name, at in sorted(embedded.items()):
        steps.append(Step("Embedded", there=True, text=name.removeprefix("embedded "), at=at))
    if not embedded:
        steps.append(Step("Embedded", there=False, text="not yet"))
    return [
        *steps,
        _done(
            "Matched", times.get("matched"), _counted(matched, "category", "categories"), matched
        ),
        _done(
            "Needles found", times.get("needles"), _counted(needles, "needle", "needles"), needles
        ),
        _done(
            "Shortlisted",
            times.get("shortlisted"),
            f"for {_counted(shortlists, 'needle', 'needles')}",
            shortlists,
        ),
    ]


def _partial(fact: FrameAnnotated | PredictionsMade) -> str:
    return "" if fact.complete else ", partial"


def _done(name: str, at: datetime | None, text: str, count: int) -> Step:
    return Step(name, count > 0, text, at if count else None)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"

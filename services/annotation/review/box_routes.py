"""The page on which the boxes of one frame are drawn, moved, resized and named."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Response
from starlette.datastructures import FormData

from services.annotation.review.box_rows import (
    MAX_ROWS,
    BoxRow,
    annotations_from,
    rows_from,
    rows_of,
)
from services.annotation.review.context import Context
from services.annotation.review.guard import Form, whole_number
from services.annotation.review.page import Page
from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, FrameAnnotated, Image
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.domain.withdrawal import in_force

router = APIRouter()

_OVERTAKEN = (
    "The frame's ground truth has changed since you loaded the page. Your boxes were not published;"
    " they are still below."
)
_AGAIN = "Correct the name, or publish again if it is a new category."
_UNCHANGED = "These boxes are the ground truth already. Nothing was published."


class _Refusal(NamedTuple):
    """Why rows were not published.

    Attributes
    ----------
    new : the names of categories that are published if the person sends the form again
    """

    text: str
    new: Sequence[str] = ()


@dataclass(frozen=True)
class _BoxForm:
    """What the form shows.

    Attributes
    ----------
    revision : of the ground truth that the rows are a change of
    """

    rows: Sequence[BoxRow]
    revision: int
    refused: _Refusal | None = None


@dataclass(frozen=True)
class _Frame:
    """A frame with a picture, and its latest ground truth, withdrawn or not."""

    frame_id: FrameId
    record: FrameRecord
    image: Image
    latest: FrameAnnotated | None

    @property
    def truth(self) -> FrameAnnotated | None:
        """The ground truth that the rows are a change of; None if they are all of it."""
        return in_force(self.latest)

    @property
    def annotations(self) -> Sequence[Annotation]:
        return self.truth.annotations if self.truth else ()

    @property
    def revision(self) -> int:
        """The latest revision of the ground truth; 0 before the first one."""
        return self.latest.revision if self.latest else 0


@router.get("/frames/boxes")
async def boxes(page: Page, context: Context, id: str = "") -> Response:  # noqa: A002  # the URL's name
    """The form with the boxes of a frame."""
    frame = await _loaded(context, id)
    rows = rows_of(frame.annotations, frame.record, context.settings.operating_scores)
    return await _shown(page, context, frame, _BoxForm(rows, frame.revision))


@router.post("/frames/boxes")
async def publish(page: Page, form: Form, context: Context) -> Response:
    """Publish the form's boxes as the frame's ground truth."""
    frame = await _loaded(context, str(form.get("id", "")))
    rows = rows_from(form)
    refused = await _refused(context, page.session.by, frame, form, rows)
    if refused:
        # The form keeps its revision: sending it again overwrites nobody's change.
        seen = whole_number(form.get("revision")) or 0
        return await _shown(page, context, frame, _BoxForm(rows, seen, refused))
    return page.redirect("/frames", id=frame.frame_id)


async def _shown(page: Page, context: Context, frame: _Frame, form: _BoxForm) -> Response:
    return page.html(
        "boxes.html",
        status=HTTPStatus.CONFLICT if form.refused else HTTPStatus.OK,
        frame=frame,
        form=form,
        categories=await context.stores.categories.all(),
    )


async def _loaded(context: Context, text: str) -> _Frame:
    frame_id = FrameId(text)
    record = (await context.stores.frames.load([frame_id])).get(frame_id)
    if record is None or record.captured is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no picture of this frame.")
    latest = await context.stores.corrections.latest_truth(record)
    if latest is not None and len(latest.annotations) > MAX_ROWS:
        detail = f"More than {MAX_ROWS} boxes do not fit into one form; use an annotation tool."
        raise HTTPException(HTTPStatus.BAD_REQUEST, detail)
    return _Frame(frame_id, record, record.captured.image, latest)


async def _refused(
    context: Context, by: str, frame: _Frame, form: FormData, rows: Sequence[BoxRow]
) -> _Refusal | None:
    """Publish the rows; why they were refused, or None."""
    if whole_number(form.get("revision")) != frame.revision:
        return _Refusal(_OVERTAKEN)
    size = frame.image.width, frame.image.height
    try:
        annotations = annotations_from(rows, frame.annotations, size)
    except InvalidRecord as exc:
        return _Refusal(f"Not published: {exc}.")
    if new := await _new_categories(context, annotations, form):
        # A misspelt name would be a category that the detector never predicts: AP 0 in the mean.
        names = ", ".join(f"“{name}”" for name in new)
        return _Refusal(f"Not published: no category is called {names} yet. {_AGAIN}", new)
    if frame.truth is None:
        published = await context.corrector.annotate(
            frame.frame_id, annotations, by, frame.revision
        )
    elif annotations == frame.truth.annotations:
        return _Refusal(_UNCHANGED)
    else:
        published = await context.corrector.publish(frame.truth, annotations, by)
    return None if published else _Refusal(_OVERTAKEN)


async def _new_categories(
    context: Context, annotations: Sequence[Annotation], form: FormData
) -> list[str]:
    """Names that are no categories yet, and that the person was not asked about."""
    names = {annotation.category for annotation in annotations}
    known = await context.stores.categories.known(names)
    return sorted(names - known - {str(name) for name in form.getlist("new")})

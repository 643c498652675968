"""Parse requests: an image with its metadata, one record, or many lines of records."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection, FrameAnnotated, PredictionsMade
from services.formats.box_units import require_pixels
from services.formats.detection_limit import count_left_out, strongest
from services.formats.visible_names import check_names
from services.ground_truth.drafts import is_too_large
from services.ingest import ways
from services.ingest.api.bodies import FrameMetadata, GroundTruth, Predictions, read_body
from services.ingest.cost import check_cost
from services.runtime.http.answers import Refused

NDJSON = "application/x-ndjson"

_MAX_METADATA_BYTES = 64 * 1024
RecordType = type[Predictions] | type[GroundTruth]
Record = PredictionsMade | FrameAnnotated


class Changes(NamedTuple):
    """Differences between a record's event and what its client sent, named as in responses."""

    detections_left_out: int = 0
    scores_clipped: int = 0
    detections_refused: int = 0

    def counts(self) -> dict[str, int]:
        """The nonzero counts."""
        return {name: count for name, count in self._asdict().items() if count}


UNCHANGED = Changes()


@dataclass(frozen=True)
class Line:
    """One line of many: its record, or the error that refuses it."""

    number: int
    content: Record | InvalidRecord
    changes: Changes = UNCHANGED


def media_type(request: Request) -> str:
    """The body's media type, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_frame(request: Request) -> tuple[bytes, FrameMetadata]:
    """The parts `image` and `metadata` of a multipart body.

    Raises
    ------
    Refused
        The media type is wrong, or a part is missing or repeated.
    InvalidRecord
        The metadata breaks its schema.
    """
    if media_type(request) != "multipart/form-data":
        raise _unsupported("multipart/form-data")
    async with request.form(max_files=2, max_fields=2, max_part_size=_MAX_METADATA_BYTES) as form:
        for name in ("image", "metadata"):
            if len(form.getlist(name)) > 1:
                detail = f"the part `{name}` was sent more than once"
                raise Refused(HTTPStatus.BAD_REQUEST, "duplicate_part", detail)
        image, metadata = form.get("image"), form.get("metadata")
        if not isinstance(image, UploadFile) or metadata is None:
            detail = "the parts `image` (a file) and `metadata` (JSON) are needed"
            raise Refused(HTTPStatus.BAD_REQUEST, "missing_part", detail)
        if isinstance(metadata, UploadFile):
            metadata_text: bytes | str = await metadata.read(_MAX_METADATA_BYTES)
        else:
            metadata_text = metadata
        return await image.read(), read_body(FrameMetadata, metadata_text)


def require_json(request: Request) -> None:
    """Refuse media types other than JSON and NDJSON."""
    if media_type(request) not in {"application/json", NDJSON}:
        raise _unsupported(f"application/json or {NDJSON}")


def read_record(kind: RecordType, content: bytes, most: int) -> tuple[Record, Changes]:
    """One frame's predictions or ground truth, and the changes made to it.

    Parameters
    ----------
    most : maximum detections per frame; those with the highest scores are kept

    Raises
    ------
    InvalidRecord
        It breaks its schema, has a name with invisible characters, is too large, or has fractions
        instead of pixels.
    """
    check_cost(content, most)
    body = read_body(kind, content)
    draft = body.draft()
    check_names(draft)
    require_pixels([part.bbox for part in _parts(draft)])
    left_out = 0
    if isinstance(draft, PredictionsMade) and len(draft.detections) > most:
        left_out = len(draft.detections) - most
        draft = draft.model_copy(update={"detections": strongest(draft.detections, most)})
        count_left_out(left_out, ways.HTTP)
    if is_too_large(draft):
        raise InvalidRecord("more than one record may hold", reason="event_too_large")
    return draft, Changes(left_out, body.scores_clipped)


def _parts(draft: Record) -> Sequence[Detection] | Sequence[Annotation]:
    return draft.detections if isinstance(draft, PredictionsMade) else draft.annotations


def read_line(number: int, kind: RecordType, content: bytes, most: int) -> Line:
    """A line's record, or why it is refused."""
    try:
        return Line(number, *read_record(kind, content, most))
    except InvalidRecord as exc:
        # Drop the traceback, which would keep the line and its parsed values in memory.
        return Line(number, InvalidRecord(str(exc), reason=exc.reason))


def _unsupported(wanted: str) -> Refused:
    detail = f"the body must be {wanted}"
    return Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)

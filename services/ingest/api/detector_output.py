"""Requests whose body is a detector's output in its vendor's format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.domain.namespaces import Vehicle
from services.formats.detected_images import DetectedImages, FrameOutput
from services.formats.geometry import Size
from services.formats.items import Detector, Rejection
from services.formats.readers.detections.format_names import FormatName
from services.formats.readers.detections.in_memory import OutputMessage
from services.formats.readers.detections.registry import FORMATS
from services.formats.readers.records import ImageKey
from services.ingest import ways
from services.ingest.api.lines import MAX_LINES
from services.ingest.api.requests import Changes, Line
from services.ingest.cost import check_cost
from services.ingest.templates import IMAGE, ImageFields, Template, claim_frame
from services.runtime.http.answers import Refused
from services.runtime.images import ImageLimits
from services.runtime.observability import metrics

_BODY: Final = "the body"
READABLE: Final = tuple(name for name, known in FORMATS.items() if known.is_json)
"""The formats that a body can have; in a body, unlike on a topic, all messages come together."""

PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "format",
        "in": "query",
        "schema": {"type": "string", "enum": [*READABLE]},
        "description": "The vendor's format of the body; Gazeloop's own where it is not given.",
    },
    {
        "name": "detector",
        "in": "query",
        "schema": {"type": "string"},
        "example": "signs@4.2",
        "description": "Whose output it is, `NAME@VERSION`; needed with `format`.",
    },
    {
        "name": "frame_id",
        "in": "query",
        "schema": {"type": "string"},
        "example": "{sensorId}:{id}",
        "description": "With `format`: the frame of each image, with values of its message."
        " `{image}` is the image's path; `VEHICLE:{image}` where it is not given.",
    },
]
"""OpenAPI's description of the query."""


@dataclass(frozen=True)
class DetectorOutput:
    """The parameters of a request that describe its body.

    Attributes
    ----------
    frame_id : the frame of each image
    """

    format: FormatName
    detector: Detector
    frame_id: Template

    @classmethod
    def of(cls, query: Mapping[str, str], vehicle: Vehicle) -> Self | None:
        """The query's parameters; None if the body is in Gazeloop's own format.

        Raises
        ------
        Refused
            A parameter is missing or wrong.
        """
        name = query.get("format")
        if name is None:
            return None
        if name not in READABLE:
            detail = f"{name!r:.40} is no format of a body: {', '.join(READABLE)}"
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "unsupported_format", detail)
        template = query.get("frame_id") or f"{vehicle.prefix}:{{{IMAGE}}}"
        try:
            detector = Detector.parse(query.get("detector", ""))
            return cls(FormatName(name), detector, Template.parse(template))
        except InvalidRecord as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, exc.reason, str(exc)) from exc

    def read(self, content: bytes, limits: ImageLimits, most: int) -> DetectedImages:
        """The images of a body.

        Parameters
        ----------
        most : maximum detections per frame

        Raises
        ------
        InvalidRecord
            It is too large, unreadable, or names no image.
        Refused
            413, if there are too many images and refused parts.
        """
        check_cost(content, most)
        image = {"file_name": _BODY}
        message = OutputMessage(content, _BODY, image)
        images = DetectedImages(message, self.format, limits=limits, most=most, way=ways.HTTP)
        if images.results > MAX_LINES:
            detail = (
                f"{images.results} images and refused parts; a request may have {MAX_LINES}: send"
                " several"
            )
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_lines", detail)
        return images

    def frames(self, images: DetectedImages) -> dict[ImageKey, FrameId | InvalidRecord]:
        """The frame of each image, or why it has none."""
        found: dict[ImageKey, FrameId | InvalidRecord] = {}
        taken: set[FrameId] = set()
        for image, message in images.messages.items():
            try:
                frame_id = self.frame_id.frame_id(ImageFields(image, message, {}))
                found[image] = claim_frame(frame_id, taken)
            except InvalidRecord as exc:
                found[image] = exc
        return found

    def lines(
        self,
        images: DetectedImages,
        frames: Mapping[ImageKey, FrameId | InvalidRecord],
        sizes: Mapping[FrameId, Size],
    ) -> Sequence[Line]:
        """A record per image, numbered from 1 in the body's order, then the other refused parts."""
        of_images = [
            Line(number, frame)
            if isinstance(frame, InvalidRecord)
            else _line(number, images.on_frame(image, frame, self.detector, sizes.get(frame)))
            for number, (image, frame) in enumerate(frames.items(), 1)
        ]
        refused = [
            Line(number, _refusal(part))
            for number, part in enumerate(images.rejected, len(of_images) + 1)
        ]
        return [*of_images, *refused]


def _line(number: int, output: FrameOutput) -> Line:
    # The answer counts a refused line, and so its first part.
    counted = output.refused if output.draft is not None else output.refused[1:]
    for part in counted:
        metrics.RECORDS_REJECTED.labels(part.reason, ways.HTTP).inc()
    if output.draft is not None:
        return Line(number, output.draft, Changes(detections_refused=len(output.refused)))
    return Line(number, _refusal(output.refused[0]))


def _refusal(part: Rejection) -> InvalidRecord:
    return InvalidRecord(f"{part.detail} ({part.location})", reason=part.reason)

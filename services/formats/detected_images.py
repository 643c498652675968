"""A detector's output in memory, image by image."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from services.contracts.errors import InvalidRecord
from services.contracts.events import PredictionsMade
from services.contracts.identity import FrameId, VehicleId
from services.formats import fields
from services.formats.box_units import frame_in_pixels
from services.formats.corrections import on_picture
from services.formats.detection_limit import within_limit
from services.formats.fields import Record
from services.formats.frames import OpenedFrame, open_frame
from services.formats.geometry import Size
from services.formats.items import Detector, FrameItem, Item, Rejection
from services.formats.readers.category_names import named_category
from services.formats.readers.detections.format_names import FormatName
from services.formats.readers.detections.in_memory import NotedImage, OutputMessage
from services.formats.readers.detections.output import ImageReference, Output
from services.formats.readers.detections.registry import FORMATS, read_as
from services.formats.readers.image_names import ImageNames
from services.formats.readers.records import ImageKey, Notes
from services.formats.readers.results import Results
from services.runtime.images import ImageLimits

_SOURCE: Final = "import"
_NO_VEHICLE: Final = VehicleId("")
"""Only a captured frame has a vehicle, and these items bring no image."""


class FrameOutput(NamedTuple):
    """A detector's output on one frame.

    Attributes
    ----------
    draft : the event; None if all that was found was refused
    refused : the refused parts
    """

    draft: PredictionsMade | None
    refused: list[Rejection]


class DetectedImages:
    """The images of a detector's output in memory, with their detections.

    Parameters
    ----------
    limits : of images
    most : maximum detections per frame; those with the highest scores are kept
    way : the input path, for metrics

    Attributes
    ----------
    messages : for each image, as the output names it, the JSON object that names it; empty where
        the format has none
    rejected : refused parts that name no image

    Raises
    ------
    InvalidRecord
        The message is unreadable, or names no image (`no_image`), or none of its categories has a
        name.
    """

    def __init__(
        self,
        message: OutputMessage,
        format_name: FormatName,
        *,
        limits: ImageLimits,
        most: int,
        way: str,
    ) -> None:
        output = read_as(format_name, message)
        self._location = str(output.path)
        self.messages = _messages(output, message.noted)
        if not self.messages:
            raise _no_image(output, format_name)
        names: dict[ImageKey, str] = {key: key for key in self.messages if isinstance(key, str)}
        ids = {key for key in self.messages if isinstance(key, int)}
        unread = _of_other_frames(output, format_name)
        self._results = Results(
            output,
            ids=ids,
            names=ImageNames(names),
            categories={},
            category_of=named_category,
            all_images=True,
        )
        self.rejected = [*self._results.rejected, *unread]
        self._limits = limits
        self._most = most
        self._way = way

    @property
    def results(self) -> int:
        """Number of images, and of refused parts that name no image."""
        return len(self.messages) + len(self.rejected)

    def depends_on_size(self, image: ImageKey) -> bool:
        """Whether detections of the image cannot be placed without the size of the frame's image.

        They are fractions, or were drawn on an image of a declared size.
        """
        notes = Notes()
        found = self._results.found(image, None, notes)
        is_missing = any(rejection.reason == "unknown_size" for rejection in notes.rejected)
        return is_missing or found.size is not None

    def on_frame(
        self, image: ImageKey, frame_id: FrameId, detector: Detector, size: Size | None
    ) -> FrameOutput:
        """The detections of an image as those of a frame.

        Parameters
        ----------
        size : the size of the frame's image, if it is known
        """
        notes = Notes()
        found = self._results.found(image, size, notes)
        item = FrameItem(
            frame_id=frame_id,
            vehicle_id=_NO_VEHICLE,
            location=f"{self._location}:{image}",
            image=None,
            detector=detector,
            detections=found.detections,
            detections_size=found.size,
            detections_complete=found.complete,
        )
        item = frame_in_pixels(item, notes.rejected)
        opened = self._opened(on_picture(item, size))
        if isinstance(opened, Rejection):
            return FrameOutput(None, [*notes.rejected, opened])
        predictions = (draft for draft in opened.drafts if isinstance(draft, PredictionsMade))
        return FrameOutput(next(predictions, None), [*notes.rejected, *opened.rejections])

    def _opened(self, item: Item) -> OpenedFrame | Rejection:
        if not isinstance(item, FrameItem):
            assert isinstance(item, Rejection)
            return item
        return open_frame(within_limit(item, self._most, self._way), self._limits, _SOURCE)


def _messages(output: Output, noted: Sequence[NotedImage]) -> dict[ImageKey, Record]:
    """The message of each image: of those that readers noted, and that lists or records name."""
    listed = output.images if isinstance(output.images, list) else []
    own = [image for image in listed if isinstance(image, dict) and "file_name" in image]
    records = [source.value for source in output.sources if isinstance(source.value, dict)]
    if own:
        # Their ids are of the list, which names those images.
        records = [record for record in records if "file_name" in record]
    found: dict[ImageKey, Record] = {}
    from_records = (NotedImage(record, {}) for record in records)
    for image, value in (*noted, *zip(own, own, strict=True), *from_records):
        key = _key(image)
        if key is not None:
            found.setdefault(key, value if isinstance(value, dict) else {})
    return found


def _of_other_frames(output: Output, format_name: FormatName) -> list[Rejection]:
    """Take out the unreadable parts that hide nothing of the images that are named.

    Where a message is a whole frame, those images have messages of their own.
    """
    if not FORMATS[format_name].whole_frames:
        return []
    unread, output.rejected = output.rejected, []
    return unread


def _key(image: ImageReference) -> ImageKey | None:
    try:
        return fields.key(image.get("file_name", image.get("image_id")))
    except InvalidRecord:  # refused with the record
        return None


def _no_image(output: Output, format_name: FormatName) -> InvalidRecord:
    if output.rejected:
        first = output.rejected[0]
        return InvalidRecord(f"{first.detail} ({first.location})", reason=first.reason)
    return InvalidRecord(f"read as {format_name}, it names no image", reason="no_image")

"""A detector's output in the shape of COCO's results, whatever format it was written in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.items import Located, RecordKind, Rejection
from services.formats.readers.records import rejection

ImageReference = Mapping[str, object]
"""`file_name` or `image_id` of the image that a detection is of; empty if nothing names one."""


@dataclass
class Output:
    """The records of a detector's output.

    Attributes
    ----------
    path : the file or folder
    sources : one record per detection, with `file_name` or `image_id`, `category_name` or
        `category_id`, `score` and `bbox`; optionally `segmentation`, `track_id` and `attributes`
    images, categories : lists that the output has of its own, as in COCO; categories None if
        there is no such list
    rejected : parts that name no image
    errors : why a record of an image is refused, by its location
    format : the name of the format that was read
    """

    path: Path
    sources: list[Located[object]] = field(default_factory=list)
    images: object = field(default_factory=list)
    categories: object = None
    rejected: list[Rejection] = field(default_factory=list)
    errors: dict[str, InvalidRecord] = field(default_factory=dict)
    format: str = ""

    def add(
        self,
        image: ImageReference,
        value: object,
        location: str,
        convert: Callable[[Record], Record],
    ) -> None:
        """Add a detection as `convert` reads it; what it refuses stays a record of its image."""
        try:
            record = {**image, **convert(fields.record(value, "the detection"))}
        except InvalidRecord as exc:
            self.refuse(image, value, location, exc)
        else:
            self.sources.append(Located(record, location))

    def refuse(
        self, image: ImageReference, value: object, location: str, error: InvalidRecord
    ) -> None:
        """Add a part that cannot be read.

        If it names an image, that image's detections are incomplete.
        """
        if not image:
            source = Located(value, location)
            self.rejected.append(rejection(error, source, RecordKind.DETECTION))
            return
        self.errors[location] = error
        self.sources.append(Located({**image, "value": value}, location))

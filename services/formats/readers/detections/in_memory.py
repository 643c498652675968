"""A detector's output in memory: the body of a request, or a message of a topic."""

from pathlib import Path
from typing import NamedTuple

from services.contracts.errors import InvalidRecord
from services.formats.json_files import parse_json
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.files import Document, OutputFiles, lines_of, named_by
from services.formats.readers.detections.output import ImageReference


class NotedImage(NamedTuple):
    """An image that a part of the output names, and that part's JSON value."""

    image: ImageReference
    value: object


class OutputMessage(OutputFiles):
    """Stands in for the files of a detector's output; only formats in JSON can be read from it.

    Parameters
    ----------
    content : the JSON value, or one JSON object per line
    location : where it comes from, for messages about it
    image : the image that a value is of where nothing in it names one
    names : the names of the detector's classes, if they are given

    Attributes
    ----------
    noted : the images that the format's reader has come across
    """

    def __init__(
        self,
        content: bytes,
        location: str,
        image: ImageReference,
        names: ClassNames | None = None,
    ) -> None:
        self.path = Path(location)
        self.is_folder = False
        self.files = []
        self.noted: list[NotedImage] = []
        self._content = content
        self._location = location
        self._default_image = image
        self._class_names = names

    @property
    def names(self) -> ClassNames | None:
        return self._class_names

    @property
    def required_names(self) -> ClassNames:
        if self._class_names is None:
            raise InvalidRecord(
                "it has only the numbers of classes: their names must be given",
                reason="unknown_category",
            )
        return self._class_names

    def note_image(self, image: ImageReference, value: object) -> None:
        if image:
            self.noted.append(NotedImage(image, value))

    def _single(self) -> list[Document]:
        try:
            value = parse_json(self._content)
        except InvalidRecord as exc:
            lines = lines_of(self._content, self._location) if exc.reason == "invalid_json" else []
            if not lines:
                raise InvalidRecord(f"{self._location}:{exc}", reason=exc.reason) from exc
            return lines
        return [Document(self._location, named_by(value) or self._default_image, value)]

"""The list of images that a converted output has of its own, for their sizes."""

from services.formats.fields import Record
from services.formats.readers.detections.output import ImageReference


class DeclaredSizes:
    """The sizes that an output declares, by the file names of its images."""

    def __init__(self) -> None:
        self._images: dict[str, Record] = {}

    def add(self, image: ImageReference, size: Record) -> None:
        """Add an image's `width` and `height`."""
        name = image.get("file_name")
        if isinstance(name, str):
            self._images[name] = {**size, "id": name, "file_name": name}

    @property
    def images(self) -> list[Record]:
        """The images as in COCO."""
        return list(self._images.values())

"""The images that a COCO file lists, one per frame."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from services.contracts.identity import FrameId
from services.formats import fields
from services.formats.fields import Record
from services.formats.items import Located, RecordKind, Rejection
from services.formats.readers.folders import plain_name
from services.formats.readers.records import ImageKey, claim, located, parsed


@dataclass(frozen=True)
class ListedImage:
    """An image's record, frame, and id in the file.

    Attributes
    ----------
    copies : later records of the same file or frame under ids of their own
    other_file : another image file with the same id, so that annotations of the id are ambiguous
    """

    frame_id: FrameId
    key: ImageKey
    source: Located[Record]
    copies: tuple["ListedImage", ...] = ()
    other_file: str | None = None

    @property
    def file_name(self) -> str:
        """The image's `file_name`; empty if absent."""
        name = self.source.value.get("file_name")
        return name if isinstance(name, str) else ""


def listed_images(
    file: Path,
    values: object,
    frame_id_of: Callable[[Record, ImageKey], FrameId],
    folder: Path | None,
    rejected: list[Rejection],
    *,
    versions: bool,
) -> dict[ImageKey, ListedImage]:
    """The images of a file by their ids, in the order of their frames.

    A repeated id is refused. The same file or frame under another id is kept as a copy of the
    first, to be refused with its records.

    Parameters
    ----------
    versions : whether a frame may occur several times, as in corrections by several annotators
    """
    images: dict[ImageKey, ListedImage] = {}
    first_of: dict[str, ImageKey] = {}
    seen: set[ImageKey] = set()

    def add(source: Located[Record]) -> None:
        key = fields.key(source.value.get("id"))
        image = ListedImage(frame_id_of(source.value, key), key, source)
        file_key = "file " + plain_name(folder, image.file_name) if image.file_name else ""
        if key in images and file_key and first_of.get(file_key) != key:
            images[key] = replace(images[key], other_file=image.file_name)
        claim(key, seen)
        names = [name for name in (f"frame {image.frame_id}", file_key) if name]
        known = next((first_of[name] for name in names if name in first_of), None)
        if known is not None and not versions:
            images[known] = replace(images[known], copies=(*images[known].copies, image))
            return
        first_of.update(dict.fromkeys(names, key))
        images[key] = image

    parsed(located(file, "images", values), add, rejected, RecordKind.FRAME)
    return dict(sorted(images.items(), key=lambda item: item[1].frame_id))

"""A folder of images that nobody has annotated, with a detector's results if there are any.

Time, position and camera come from the images themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from services.contracts.identity import DriveId, VehicleId
from services.formats import fields
from services.formats.items import (
    Dataset,
    Detector,
    FrameItem,
    Item,
    Located,
    Rejection,
)
from services.formats.readers.category_names import named_category
from services.formats.readers.detections.registry import OutputReader, read_output
from services.formats.readers.folders import image_file, visible_files
from services.formats.readers.frame_items import frame_items
from services.formats.readers.image_names import IMAGE_ENDINGS, ImageNames
from services.formats.readers.records import Notes
from services.formats.readers.results import NOT_LOOKED, Results


@dataclass(frozen=True)
class Taken:
    """Who took the images of a folder.

    Attributes
    ----------
    vehicle : default: the data set's name
    drive : of all images; None if unknown
    drive_per_folder : whether each subfolder is a drive instead
    """

    vehicle: str | None = None
    drive: str | None = None
    drive_per_folder: bool = False

    def drive_of(self, name: str) -> DriveId | None:
        """The drive of the image with this path in the folder."""
        parent = PurePosixPath(name).parent.as_posix()
        drive = parent if self.drive_per_folder and parent != "." else self.drive
        return None if drive is None else DriveId(fields.quoted(drive))


class Arrivals:
    """The images that arrive in a folder.

    An image has arrived once two looks have found the same file: before, it may still be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[int, int]] = {}
        self._arrived: set[str] = set()

    def look(self) -> list[str]:
        """The paths of the images that have arrived since the last look, sorted.

        Raises
        ------
        OSError
            The folder cannot be read.
        """
        states = ((name, self._state(name)) for name in listed(self._folder))
        found = {name: state for name, state in states if state is not None}
        same = {name for name, state in found.items() if self._seen.get(name) == state}
        arrived = sorted(same - self._arrived)
        self._arrived = (self._arrived | same) & found.keys()
        self._seen = found
        return arrived

    def _state(self, name: str) -> tuple[int, int] | None:
        try:
            status = (self._folder / name).stat()
        except FileNotFoundError:  # moved away since it was listed
            return None
        return status.st_size, status.st_mtime_ns


def listed(folder: Path) -> list[str]:
    """The paths of a folder's images in it, sorted."""
    return [str(file.relative_to(folder)) for file in visible_files(folder, IMAGE_ENDINGS)]


def read_images(
    folder: Path,
    *,
    taken: Taken,
    files: Sequence[str] | None = None,
    predictions: Path | None = None,
    detector: Detector | None = None,
    dataset: str | None = None,
    output_of: OutputReader = read_output,
) -> Dataset:
    """Open a folder of JPEG and PNG images; they may be in subfolders.

    Parameters
    ----------
    files : paths of some images in the folder; default: all
    predictions : results, which name images by path, file name, stem or number
    dataset : prefix of every frame id; default: the folder's name
    output_of : reads the predictions, in any format

    Raises
    ------
    InvalidRecord
        The results are unreadable.
    """
    name = dataset or folder.resolve().name
    files = listed(folder) if files is None else files
    results = None
    if predictions:
        results = Results(
            output_of(predictions),
            ids=(),
            names=ImageNames({file: file for file in files}),
            categories={},
            category_of=named_category,
        )
    images = _Images(name, folder, taken, results, detector)
    rejected = results.rejected if results else []
    return Dataset(name, len(files), images.items(files, rejected))


@dataclass(frozen=True)
class _Images:
    name: str
    folder: Path
    taken: Taken
    results: Results | None
    detector: Detector | None

    def items(self, files: Sequence[str], rejected: list[Rejection]) -> Iterator[Item]:
        yield from rejected
        for file in sorted(files, key=fields.quoted):
            yield from frame_items(partial(self._frame, file), partial(self._whole, file))

    def _whole(self, file: str) -> Located[object]:
        """The image, as a record."""
        return Located({"file_name": file}, str(self.folder / file))

    def _frame(self, file: str, notes: Notes) -> FrameItem:
        image = image_file(self.folder, file)
        found = self.results.found(file, None, notes, image) if self.results else NOT_LOOKED
        return FrameItem(
            frame_id=fields.frame_id(self.name, file),
            vehicle_id=VehicleId(fields.quoted(self.taken.vehicle or self.name)),
            drive_id=self.taken.drive_of(file),
            location=str(image),
            image=image,
            detector=self.detector,
            detections=found.detections,
            detections_size=found.size,
            detections_complete=found.complete,
            adjustments=notes.adjustments,
        )

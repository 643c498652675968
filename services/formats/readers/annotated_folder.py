"""A folder of images with annotations that tools wrote, read as a new data set.

What reads a tool's corrections of an export reads these annotations too: the folder's images take
the place of the export.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.corrections import one_of
from services.formats.items import (
    Dataset,
    Detector,
    Disputed,
    FrameItem,
    Item,
    Located,
    RecordKind,
    Rejection,
)
from services.formats.readers.detections.registry import OutputReader, read_output
from services.formats.readers.folders import image_size
from services.formats.readers.image_folder import Taken, listed, read_images
from services.formats.readers.image_names import ImageNames
from services.formats.readers.records import rejection
from services.formats.readers.returned import NamedFrame, NamedFrames, stems_of

AnnotationReader = Callable[[Path, NamedFrames], Dataset]
"""Reads a file or folder of annotations of these frames."""


class FolderFrames:
    """The images of a folder, by the names that annotations may give them.

    Parameters
    ----------
    dataset : prefix of every frame id
    files : paths of the images in the folder
    """

    def __init__(self, dataset: str, folder: Path, files: Sequence[str]) -> None:
        self._dataset = dataset
        self._folder = folder
        self._names = ImageNames({file: file for file in files})

    def __len__(self) -> int:
        return len(self._names)

    def find(self, name: str) -> NamedFrame | None:
        """The frame with this path, name or stem; None if there is none, or several are.

        The longest part of a path that only one image has decides: `train/0001` and `val/0001` are
        two images.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        forms = (path, path.with_suffix("")) if path.name else ()
        tails = ["/".join(form.parts[at:]) for form in forms for at in range(len(form.parts))]
        for call in (*tails, *stems_of(name)):
            found = self._names.find(call)
            if len(found) == 1:
                return self._sent(str(next(iter(found))))
        return None

    def of(self, name: str) -> NamedFrame:
        """The frame with this image file name.

        Raises
        ------
        InvalidRecord
            `unknown_image`: no image has this name, or several have.
        """
        sent = self.find(name)
        if sent is None:
            detail = f"no single image of {self._folder} is called {name!r:.200}"
            raise InvalidRecord(detail, reason="unknown_image")
        return sent

    def _sent(self, file: str) -> NamedFrame:
        size = image_size(self._folder / file)
        if size is None:
            raise InvalidRecord(f"the image {file!r:.200} is unreadable", reason="unknown_image")
        return NamedFrame(fields.frame_id(self._dataset, file), size)


@dataclass(frozen=True)
class AnnotationFiles:
    """Annotations, and what reads each of them."""

    files: Sequence[Path]
    read: AnnotationReader


def read_annotated_folder(
    annotations: AnnotationFiles,
    *,
    images: Path,
    taken: Taken,
    predictions: Path | None = None,
    detector: Detector | None = None,
    dataset: str | None = None,
    output_of: OutputReader = read_output,
) -> Dataset:
    """Open a folder of images with their annotations. An image without any is not annotated.

    Parameters
    ----------
    dataset : prefix of every frame id; default: the folder's name

    Raises
    ------
    InvalidRecord
        A file of annotations, or the results, are unreadable.
    """
    name = dataset or images.resolve().name
    files = listed(images)
    frames = FolderFrames(name, images, files)
    truths = [annotations.read(file, frames) for file in annotations.files]
    pictures = read_images(
        images,
        taken=taken,
        files=files,
        predictions=predictions,
        detector=detector,
        dataset=name,
        output_of=output_of,
    )
    found = _Truths([item for truth in truths for item in truth.items])
    found.require_use({fields.frame_id(name, file) for file in files}, images)
    found.require_objects(images)
    return Dataset(name, len(files), found.joined(pictures.items))


class _Truths:
    """Ground truth by frame, and what was refused of it."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.refused: list[Rejection] = []
        versions: dict[FrameId, list[FrameItem]] = {}
        for item in items:
            if isinstance(item, FrameItem):
                versions.setdefault(item.frame_id, []).append(item)
            elif isinstance(item, Rejection):
                # The image is published all the same, without ground truth.
                kind = item.kind or RecordKind.ANNOTATION
                self.refused.append(replace(item, whole_frame=False, kind=kind))
        self._frames = {frame: one_of(found) for frame, found in versions.items()}

    def require_use(self, frames: Collection[FrameId], folder: Path) -> None:
        """Refuse frames that are not there, and all of it if none is.

        Raises
        ------
        InvalidRecord
            `unknown_image`: no annotated image is in the folder, so it is another data set's.
        """
        for frame in sorted(self._frames.keys() - frames):
            error = InvalidRecord(f"no image of {folder} is {frame}", reason="unknown_image")
            place = self._frames.pop(frame).location
            source = Located[object]({"frame_id": frame}, place)
            self.refused.append(rejection(error, source, RecordKind.ANNOTATION))
        if self.refused and not self._frames:
            first = self.refused[0]
            raise InvalidRecord(
                f"no annotations fit an image of {folder}; the first, {first.location}:"
                f" {first.detail}",
                reason=first.reason,
            )

    def require_objects(self, folder: Path) -> None:
        """Refuse annotations that are all about whole images, as those of a classifier are.

        Raises
        ------
        InvalidRecord
            `unsupported_shape`: each image would count as annotated and empty.
        """
        items = [item for item in self._frames.values() if isinstance(item, FrameItem)]
        without = sum(item.adjustments[Adjustment.NO_SHAPE] for item in items)
        is_empty = all(item.complete and not item.annotations for item in items)
        if without and is_empty and len(items) == len(self._frames):
            raise InvalidRecord(
                f"all {without:,} annotations of images of {folder} are without the shape of an"
                " object (choices, text, tags, lanes): each image would count as annotated and"
                " empty. If they are empty, leave these annotations out",
                reason="unsupported_shape",
            )

    def joined(self, pictures: Iterable[Item]) -> Iterator[Item]:
        """The pictures with their ground truth."""
        yield from self.refused
        for item in pictures:
            truth = self._frames.get(item.frame_id) if isinstance(item, FrameItem) else None
            match item, truth:
                case FrameItem(), FrameItem():
                    yield _with_truth(item, truth)
                case FrameItem(), Disputed():
                    yield _differing(truth)
                    yield item
                case _:
                    yield item


def _differing(truth: Disputed) -> Rejection:
    detail = f"{len(truth.versions)} annotations of the image differ"
    source = Located[object]({"frame_id": truth.versions[0].frame_id}, truth.location)
    error = InvalidRecord(detail, reason="duplicate_id")
    return rejection(error, source, RecordKind.ANNOTATION)


def _with_truth(item: FrameItem, truth: FrameItem) -> FrameItem:
    return replace(
        item,
        location=truth.location,
        size=truth.size,
        drive_id=item.drive_id or truth.drive_id,
        tags=truth.tags,
        annotations=truth.annotations,
        complete=truth.complete,
        annotated_by=truth.annotated_by,
        lead_time_s=truth.lead_time_s,
        adjustments=item.adjustments + truth.adjustments,
    )

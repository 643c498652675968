"""Open a folder or zip file, detect its format, and print it."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer
from rich.text import Text

from services.cli.console import console
from services.cli.datasets import DetectionOptions, LayoutOptions, TakenOptions
from services.cli.work.opening import Opener, coco_opener, results_reader, via_opener, voc_opener
from services.contracts.errors import InvalidRecord
from services.formats.archive import as_folder
from services.formats.fields import Record
from services.formats.items import Dataset
from services.formats.json_files import read_json
from services.formats.layout_names import LAYOUTS, LayoutName
from services.formats.readers.annotated_folder import AnnotationFiles, read_annotated_folder
from services.formats.readers.folders import visible_files
from services.formats.readers.image_folder import Taken
from services.formats.readers.layouts import READERS, FoundLayout, found_layout, images_root


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder itself, or a temporary one with a zip file's content.

    Raises
    ------
    typer.BadParameter
        The file cannot be unpacked.
    """
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(as_folder(path))
        except InvalidRecord as exc:
            raise typer.BadParameter(str(exc), param_hint="PATH") from exc
        yield folder


def layout_opener(
    folder: Path, where: LayoutOptions, by: TakenOptions, detections: DetectionOptions
) -> Opener:
    """A function that opens what is in a folder, in the format that is named or guessed."""
    return partial(_opened, folder, where, by, detections)


def _opened(
    folder: Path, where: LayoutOptions, by: TakenOptions, detections: DetectionOptions
) -> Dataset:
    place = _existing(folder / (where.annotations or ""))
    found = found_layout(place, where.format)
    image_folder = _existing(folder / where.images) if where.images else None
    images = image_folder or images_root(folder, _named_images(found))
    names = ", ".join(str(path.relative_to(folder)) for path in found.annotations[:3])
    more = f" and {len(found.annotations) - 3} more" if len(found.annotations) > 3 else ""  # noqa: PLR2004  # those shown
    line = f"read as {found.name} ({LAYOUTS[found.name]}): {names}{more}; images in {images}"
    console().print(line, highlight=False, soft_wrap=True)
    if found.unread:
        files = ", ".join(str(path.relative_to(folder)) for path in found.unread)
        line = f"not read, because it is not valid JSON: {files}"
        console().print(Text(line, style="yellow"), soft_wrap=True)
    # The images' own folder is called the same in most data sets, such as `images`.
    named = replace(detections, name=detections.name or folder.resolve().name)
    return _dataset(found, images, by, named)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InvalidRecord(f"there is no {path}", reason="unreadable_file")
    return path


def _dataset(
    found: FoundLayout, images: Path, by: TakenOptions, detections: DetectionOptions
) -> Dataset:
    match found.name:
        case LayoutName.COCO:
            return coco_opener(found.only, images, detections)()
        case LayoutName.VOC:
            return voc_opener(found.only, images, detections)()
        case LayoutName.VIA:
            return via_opener(found.only, images, detections)()
    return read_annotated_folder(
        AnnotationFiles(found.annotations, READERS[found.name]),
        images=images,
        taken=Taken(by.vehicle, by.drive, by.drive_per_folder),
        predictions=detections.predictions,
        detector=detections.made_by(),
        dataset=detections.name,
        output_of=results_reader(detections),
    )


def _named_images(found: FoundLayout) -> list[str]:
    """The names of images, relative to their folder, where a format lists them."""
    match found.name:
        case LayoutName.COCO:
            listed = _record(read_json(found.only)).get("images")
            return _file_names(listed if isinstance(listed, list) else (), "file_name")
        case LayoutName.VOC:
            return [
                str(file.relative_to(found.only).with_suffix(""))
                for file in visible_files(found.only, [".xml"])
            ]
        case LayoutName.VIA:
            content = _record(read_json(found.only))
            return _file_names(
                _record(content.get("_via_img_metadata", content)).values(), "filename"
            )
    return []


def _record(value: object) -> Record:
    """The value, or an empty record: the format's reader says what is wrong with it."""
    return value if isinstance(value, dict) else {}


def _file_names(images: Iterable[object], key: str) -> list[str]:
    return [str(image.get(key)) for image in images if isinstance(image, dict)]

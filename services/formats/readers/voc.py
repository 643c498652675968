"""Pascal VOC: a folder of XML files, one per image.

A box is read as `[xmin, ymin, xmax - xmin, ymax - ymin]`, as most converters do, without the extra
pixel of VOC's own convention. `difficult` objects are ignored in evaluation. Images without an XML
file are not annotated, and are not read.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, tostring

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Category, FrameId, VehicleId
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.completeness import is_complete
from services.formats.geometry import upright_box
from services.formats.items import (
    Dataset,
    Detector,
    FrameItem,
    Item,
    Located,
    RecordKind,
    Rejection,
)
from services.formats.readers.category_names import category_name
from services.formats.readers.detections.registry import OutputReader, read_output
from services.formats.readers.folders import image_file, visible_files
from services.formats.readers.frame_items import frame_items
from services.formats.readers.records import Notes, refused_frame, whole_frame
from services.formats.readers.results import NOT_LOOKED, Results
from services.formats.readers.returned import Manifest
from services.formats.xml_files import parse_xml, xml_bytes

PRESERVE = "{http://www.w3.org/XML/1998/namespace}space"
"""XML attribute that marks a name whose surrounding blanks are part of it."""

_MAX_BYTES = 16 * 1024 * 1024
"""Limit on the file of one image."""
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_OBJECT = re.compile(rb"<object[\s>/]")


def read_voc(
    annotations: Path,
    *,
    images: Path | None,
    predictions: Path | None = None,
    detector: Detector | None = None,
    dataset: str | None = None,
    sent: Manifest | None = None,
    output_of: OutputReader = read_output,
) -> Dataset:
    """Open a VOC data set; XML files and images may be in subfolders.

    Parameters
    ----------
    images : the folder of the images; None reads no images
    predictions : COCO results, whose `file_name` or `image_id` is an image's path, name, stem or
        number, and whose category is a name, or an id that the file itself lists
    dataset : prefix of every frame id; default: the folder's name
    sent : the export's manifest; maps file names to frames where nothing else does
    output_of : reads the predictions, in any format

    Raises
    ------
    InvalidRecord
        The results are unreadable.
    """
    name = dataset or annotations.resolve().name
    rejected: list[Rejection] = []
    files = _files(annotations, rejected)
    results = None
    if predictions:
        results = Results.by_name(output_of(predictions), files)
        rejected += results.rejected
    voc = _Voc(name, annotations, files, images, results, detector, sent)
    return Dataset(name, len(files), voc.items(rejected))


def _files(folder: Path, rejected: list[Rejection]) -> dict[str, Path]:
    """The files by their path without extension, which names their frame."""
    files: dict[str, Path] = {}
    for file in visible_files(folder, [".xml"]):
        first = files.setdefault(str(file.relative_to(folder).with_suffix("")), file)
        if first is not file:
            detail = f"{first.name} has the same name but for its ending"
            rejected.append(Rejection("duplicate_id", detail, str(file), b"", whole_frame=True))
    return files


@dataclass(frozen=True)
class _Voc:
    name: str
    folder: Path
    files: dict[str, Path]
    images: Path | None
    results: Results | None
    detector: Detector | None
    sent: Manifest | None

    def items(self, rejected: list[Rejection]) -> Iterator[Item]:
        yield from rejected
        shown: set[Path] = set()
        for stem in sorted(self.files, key=fields.quoted):
            for item in self._items_of(stem, self.files[stem]):
                if isinstance(item, FrameItem) and item.image:
                    if item.image in shown:
                        item.adjustments[Adjustment.IMAGE_SHARED] += 1
                    shown.add(item.image)
                yield item

    def _items_of(self, stem: str, file: Path) -> Iterator[Item]:
        try:
            path = image_file(self.folder, str(file.relative_to(self.folder)))
            content = xml_bytes(path, _MAX_BYTES)
        except InvalidRecord as exc:
            yield refused_frame(exc, self._whole(stem, file, b""))
        else:
            yield from frame_items(
                partial(self._frame, stem, file, content), partial(self._whole, stem, file, content)
            )

    def _whole(self, stem: str, file: Path, content: bytes) -> Located[object]:
        """The file with everything that depends on it."""
        text = content.decode(errors="replace")
        found = self.results.records(stem) if self.results else []
        return Located(whole_frame(text, predictions=found), str(file))

    def _frame(self, stem: str, file: Path, content: bytes, notes: Notes) -> FrameItem:
        root = _root(content)
        size = _size(root)
        image = None
        if self.images:
            image = _image(self.images, stem, (root.findtext("filename") or "").strip(), notes)
        refused: list[Rejection] = []
        annotations = tuple(_annotations(file, content, root, notes.adjustments, refused))
        notes.rejected += refused
        found = self.results.found(stem, size, notes, image) if self.results else NOT_LOOKED
        return FrameItem(
            frame_id=self._frame_id(root, stem),
            vehicle_id=VehicleId(fields.quoted(self.name)),
            location=str(file),
            image=image,
            size=size,
            detector=self.detector,
            detections=found.detections,
            detections_size=found.size,
            detections_complete=found.complete,
            annotations=annotations,
            complete=is_complete(refused, annotations),
            adjustments=notes.adjustments,
        )

    def _frame_id(self, root: Element, stem: str) -> FrameId:
        """The id that Gazeloop's export wrote into the file, else one from the file's name."""
        frame_id = fields.own_frame_id((root.findtext("frame_id") or "").strip())
        if frame_id is not None:
            return frame_id
        if self.sent is not None:
            return self.sent.of(f"{stem}.xml").frame_id
        return fields.frame_id(self.name, stem)


def _root(content: bytes) -> Element:
    root = parse_xml(content)
    if root.tag != "annotation":
        raise InvalidRecord(f"<{root.tag[:40]}> is not <annotation>", reason="invalid_xml")
    objects = sum(element.tag.lower() == "object" for element in root.iter())
    if objects != len(root.findall("object")):
        # Passed over, they would leave their frame annotated and empty.
        detail = "an object is not written <object>, or not directly inside <annotation>"
        raise InvalidRecord(detail, reason="invalid_xml")
    return root


def _size(root: Element) -> tuple[int, int] | None:
    width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
    if width and height and min(width, height) > 0 and math.isfinite(width * height):
        return int(width), int(height)
    return None


def _image(folder: Path, stem: str, named: str, notes: Notes) -> Path:
    """The image with the XML file's stem, else the one that the XML names.

    Tools copy XML files and leave the old image name inside.
    """
    parent, last = str(Path(stem).parent), PurePosixPath(named.replace("\\", "/"))
    declared = [f"{parent}/{named}", named] if named else []
    by_stem = [f"{stem}{ending}" for ending in _ENDINGS]
    is_stale = bool(named) and last.stem != Path(stem).name
    # The name may be a path from another machine, whose last parts may exist here.
    names = [*by_stem, *declared] if is_stale else [*declared, *by_stem]
    missing = None
    for name in [*names, *([f"{parent}/{last.name}", last.name] if named else [])]:
        try:
            found = image_file(folder, name)
        except InvalidRecord as exc:
            if missing is None or exc.reason != "missing_image":
                missing = exc
            continue
        if is_stale and name in by_stem:
            notes.adjustments[Adjustment.IMAGE_BY_STEM] += 1
        return found
    raise missing or InvalidRecord(f"there is no image {stem!r:.200}", reason="missing_image")


def _annotations(
    file: Path,
    content: bytes,
    root: Element,
    adjustments: Counter[Adjustment],
    rejected: list[Rejection],
) -> Iterator[Located[Annotation]]:
    objects = root.findall("object")
    lines = [content.count(b"\n", 0, found.start()) + 1 for found in _OBJECT.finditer(content)]
    places = (
        lines if len(lines) == len(objects) else [f"object[{at}]" for at in range(len(objects))]
    )
    for element, place in zip(objects, places, strict=True):
        location = f"{file}:{place}"
        try:
            yield Located(_annotation(element, adjustments), location)
        except InvalidRecord as exc:
            raw = _raw(element, content)
            kind = RecordKind.ANNOTATION
            rejected.append(Rejection(exc.reason, str(exc), location, raw, kind=kind))


def _raw(element: Element, content: bytes) -> bytes:
    try:
        return tostring(element)
    except RecursionError:
        return content


def _annotation(element: Element, adjustments: Counter[Adjustment]) -> Annotation:
    if any(len(element.findall(name)) > 1 for name in ("name", "bndbox")):
        raise fields.malformed("the object has several names or boxes")
    category = _category(element.find("name"))
    corners = [_number(element, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = (math.nan if corner is None else corner for corner in corners)
    if None in corners:
        raise fields.malformed("bndbox has not four numbers")
    bbox = fields.sorted_box([left, top, right - left, bottom - top], adjustments)
    # CVAT writes the box before its rotation, and the angle beside it.
    degrees = fields.rotation({"rotation": _attribute(element, "rotation")})
    if degrees % 360:
        bbox = upright_box(bbox, degrees)
        adjustments[Adjustment.ROTATED_BOX] += 1
    return fields.checked(
        Annotation,
        category=category,
        bbox=bbox,
        crowd=_attribute(element, "crowd") == "true",
        ignore=_is_difficult(element),
    )


def _is_difficult(element: Element) -> bool:
    text = element.findtext("difficult")
    found = fields.flag(text)
    if found is None:
        raise InvalidRecord(f"difficult {text!r:.40} is not 0 or 1", reason="invalid_difficult")
    return found


def _category(name: Element | None) -> Category:
    text = "" if name is None else name.text or ""
    return category_name(text if name is not None and name.get(PRESERVE) else text.strip())


def _attribute(element: Element, name: str) -> str | None:
    """An `attributes` entry, an extension that CVAT and Datumaro write."""
    for item in element.findall("attributes/attribute"):
        if item.findtext("name") == name:
            return (item.findtext("value") or "").strip().lower()
    return None


def _number(element: Element, path: str) -> float | None:
    try:
        return float(element.findtext(path) or "")
    except ValueError:
        return None

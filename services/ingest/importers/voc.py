"""Pascal VOC: a folder of XML files, one for each image.

A box is taken as `[xmin, ymin, xmax - xmin, ymax - ymin]`, as most converters do, without VOC's
own pixel more. `difficult` objects are ignored in evaluation. Images without a file are not read:
nobody has annotated them.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Category, FrameId, VehicleId
from services.ingest import fields
from services.ingest.importers.folders import image_file
from services.ingest.importers.names import ImageNames
from services.ingest.importers.records import hide_nothing, rejection, whole_frame
from services.ingest.importers.results import NOT_LOOKED, Results, category_name, named_category
from services.ingest.importers.returned import Manifest
from services.ingest.items import Dataset, Detector, FrameItem, Item, Located, RecordKind, Rejection

MAX_XML_BYTES = 16 * 1024 * 1024
PRESERVE = "{http://www.w3.org/XML/1998/namespace}space"
"""The attribute of a name whose blanks belong to it."""

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
) -> Dataset:
    """Open a VOC data set; XML files may lie in folders below `annotations`, images likewise.

    Parameters
    ----------
    images : the folder of the images; none reads no images
    predictions : COCO results, whose `file_name` or `image_id` is an image's path, name, stem or
        number, and whose category is a name, or an id that the file itself lists
    dataset : begins every frame id; the folder's name, if not given
    sent : what was exported; its file names name their frames where nothing else does

    Raises
    ------
    InvalidRecord
        The results cannot be read at all.
    """
    name = dataset or annotations.resolve().name
    # A file's path without its ending names its frame.
    files = {
        str(file.relative_to(annotations).with_suffix("")): file for file in _files(annotations)
    }
    results = None
    if predictions:
        names = ImageNames(files)
        results = Results(
            predictions,
            image_of=names.of,
            known=files,
            categories={},
            category_of=named_category,
        )
    voc = _Voc(name, annotations, files, images, results, detector, sent)
    return Dataset(name, len(files), voc.items())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".xml")


@dataclass(frozen=True)
class _Voc:
    name: str
    folder: Path
    files: dict[str, Path]
    images: Path | None
    results: Results | None
    detector: Detector | None
    sent: Manifest | None

    def items(self) -> Iterator[Item]:
        if self.results:
            yield from self.results.rejected
        for stem in sorted(self.files, key=fields.quoted):
            yield from self._items_of(stem, self.files[stem])

    def _items_of(self, stem: str, file: Path) -> Iterator[Item]:
        rejected: list[Rejection] = []
        results = self.results
        content = b""
        try:
            content = _content(image_file(self.folder, str(file.relative_to(self.folder))))
            frame = self._frame(stem, file, content, rejected)
        except InvalidRecord as exc:
            text = content.decode(errors="replace")
            whole = whole_frame(text, predictions=results.records(stem) if results else [])
            refused = rejection(exc, Located(whole, str(file)))
            yield replace(refused, whole_frame=True)
        else:
            yield from rejected
            yield frame

    def _frame(self, stem: str, file: Path, content: bytes, rejected: list[Rejection]) -> FrameItem:
        root = _root(content)
        size = _size(root)
        image = None
        if self.images:
            image = _image(self.images, stem, root.findtext("filename"))
        refused: list[Rejection] = []
        annotations = tuple(_annotations(file, content, root, refused))
        rejected += refused
        found = self.results.detections(stem, size, rejected) if self.results else NOT_LOOKED
        return FrameItem(
            frame_id=self._frame_id(root, stem),
            vehicle_id=VehicleId(fields.quoted(self.name)),
            location=str(file),
            image=image,
            size=size,
            detector=self.detector,
            detections=found.detections,
            detections_complete=found.complete,
            annotations=annotations,
            complete=hide_nothing(refused),
            adjustments=found.adjustments,
        )

    def _frame_id(self, root: Element, stem: str) -> FrameId:
        """The id that our own export has written into the file, else one by the file's name."""
        own = fields.own_frame_id((root.findtext("frame_id") or "").strip())
        if own is not None:
            return own
        if self.sent is not None:
            return self.sent.of(f"{stem}.xml").frame_id
        return fields.frame_id(self.name, stem)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_XML_BYTES + 1)
    except OSError as exc:
        raise InvalidRecord(f"{file}: {exc.strerror}", reason="unreadable_file") from exc
    if len(content) > MAX_XML_BYTES:
        raise InvalidRecord(f"more than {MAX_XML_BYTES} bytes of XML", reason="invalid_xml")
    return content


def _root(content: bytes) -> Element:
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except ParseError as exc:
        raise InvalidRecord(f"line {exc.position[0]}: {exc}", reason="invalid_xml") from exc
    except (DefusedXmlException, ValueError, LookupError) as exc:
        raise InvalidRecord(f"not plain XML: {exc!r}", reason="invalid_xml") from exc
    if root.tag != "annotation":
        raise InvalidRecord(f"<{root.tag[:40]}> is not <annotation>", reason="invalid_xml")
    return root


def _size(root: Element) -> tuple[int, int] | None:
    width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
    if width and height and min(width, height) > 0 and math.isfinite(width * height):
        return int(width), int(height)
    return None


def _image(folder: Path, stem: str, named: str | None) -> Path:
    """The file that the XML names, beside its own place in the folder, else one of its stem."""
    parent = str(Path(stem).parent)
    names = [f"{parent}/{named}", named] if named else []
    names += [f"{stem}{ending}" for ending in _ENDINGS]
    for name in names:
        try:
            return image_file(folder, name)
        except InvalidRecord as exc:
            if exc.reason != "missing_image":
                raise
    raise InvalidRecord(
        f"there is no image {named or stem!r:.200} in {folder}", reason="missing_image"
    )


def _annotations(
    file: Path, content: bytes, root: Element, rejected: list[Rejection]
) -> Iterator[Located[Annotation]]:
    objects = root.findall("object")
    lines = [content.count(b"\n", 0, found.start()) + 1 for found in _OBJECT.finditer(content)]
    places = (
        lines if len(lines) == len(objects) else [f"object[{at}]" for at in range(len(objects))]
    )
    for element, place in zip(objects, places, strict=True):
        location = f"{file}:{place}"
        try:
            yield Located(_annotation(element), location)
        except InvalidRecord as exc:
            raw = _raw(element, content)
            kind = RecordKind.ANNOTATION
            rejected.append(Rejection(exc.reason, str(exc), location, raw, kind=kind))


def _raw(element: Element, content: bytes) -> bytes:
    try:
        return tostring(element)
    except RecursionError:
        return content


def _annotation(element: Element) -> Annotation:
    category = _category(element.find("name"))
    corners = [_number(element, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = (math.nan if corner is None else corner for corner in corners)
    if None in corners:
        raise fields.malformed("bndbox has not four numbers")
    return fields.checked(
        Annotation,
        category=category,
        bbox=fields.box([left, top, right - left, bottom - top]),
        crowd=_attribute(element, "crowd") == "true",
        ignore=(element.findtext("difficult") or "").strip() == "1",
    )


def _category(name: Element | None) -> Category:
    text = "" if name is None else name.text or ""
    return category_name(text if name is not None and name.get(PRESERVE) else text.strip())


def _attribute(element: Element, name: str) -> str | None:
    """One of the attributes that CVAT and Datumaro write, which VOC itself does not have."""
    for each in element.findall("attributes/attribute"):
        if each.findtext("name") == name:
            return (each.findtext("value") or "").strip().lower()
    return None


def _number(element: Element, path: str) -> float | None:
    try:
        return float(element.findtext(path) or "")
    except ValueError:
        return None

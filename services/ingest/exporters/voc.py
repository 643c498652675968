"""Pascal VOC: one XML file for each frame."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from services.contracts.events import Annotation
from services.ingest.exporters.frames import Export, ExportFrame, annotated, lost


def to_voc(frames: Sequence[ExportFrame]) -> Export:
    """`Annotations/*.xml` as `read_voc` reads it: corners without VOC's own pixel more.

    An ignored annotation is `difficult`; crowds and masks are lost.
    """
    used = annotated(frames)
    files = {f"Annotations/{frame.stem}.xml": _document(frame) for frame in used}
    return Export(files, used, lost(used, frames, "crowd", "mask"))


def _document(frame: ExportFrame) -> bytes:
    root = Element("annotation")
    _text(root, "filename", frame.file_name)
    _text(root, "frame_id", frame.frame_id)
    size = SubElement(root, "size")
    for name, value in (("width", frame.width), ("height", frame.height), ("depth", 3)):
        _text(size, name, str(value))
    for annotation in frame.annotations or ():
        _object(root, annotation)
    indent(root)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _object(root: Element, annotation: Annotation) -> None:
    x, y, width, height = annotation.bbox
    element = SubElement(root, "object")
    _text(element, "name", annotation.category)
    _text(element, "difficult", str(int(annotation.ignore)))
    box = SubElement(element, "bndbox")
    corners = {"xmin": x, "ymin": y, "xmax": x + width, "ymax": y + height}
    for name, value in corners.items():
        _text(box, name, repr(value))


def _text(parent: Element, name: str, value: str) -> None:
    SubElement(parent, name).text = value

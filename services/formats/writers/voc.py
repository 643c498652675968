"""Pascal VOC: one XML file per frame, and the lists of frames and labels."""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import orjson

from services.contracts.events import Annotation
from services.formats.readers.voc import PRESERVE
from services.formats.writers.frames import Export, ExportFrame, annotated, labels, lost


def to_voc(frames: Sequence[ExportFrame]) -> Export:
    """`Annotations/*.xml` for `read_voc`: corners without the extra pixel of VOC's convention.

    An ignored annotation becomes `difficult`; a crowd gets an attribute that CVAT and Datumaro
    read. Masks are lost.
    """
    used = annotated(frames)
    files = {f"Annotations/{frame.stem}.xml": _document(frame) for frame in used}
    files["ImageSets/Main/default.txt"] = _lines(frame.stem for frame in used)
    names = labels(used)
    # VOC has twenty fixed categories; Datumaro and CVAT read others from these files.
    # labelmap.txt cannot express a colon in a name; dataset_meta.json can express every name.
    files["labelmap.txt"] = _lines(f"{name}:::" for name in names if ":" not in name)
    files["dataset_meta.json"] = orjson.dumps({"labels": names})
    return Export(files, used, lost(used, frames, "mask"))


def _lines(texts: Iterable[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


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
    if annotation.category != annotation.category.strip():
        element[0].set(PRESERVE, "preserve")
    _text(element, "difficult", str(int(annotation.ignore)))
    box = SubElement(element, "bndbox")
    corners = {"xmin": x, "ymin": y, "xmax": x + width, "ymax": y + height}
    for name, value in corners.items():
        _text(box, name, repr(value))
    if annotation.crowd:
        attribute = SubElement(SubElement(element, "attributes"), "attribute")
        _text(attribute, "name", "crowd")
        _text(attribute, "value", "true")


def _text(parent: Element, name: str, value: str) -> None:
    SubElement(parent, name).text = value

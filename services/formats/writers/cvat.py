"""CVAT for images 1.1: one XML document, with scores and needles as attributes."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from services.contracts.events import Rle
from services.contracts.identity import Box, Category
from services.formats.cvat_masks import CvatMask
from services.formats.writers.frames import (
    Export,
    ExportFrame,
    labels,
    lost,
    lost_masks,
    mask_on,
)

ATTRIBUTES = (
    ("proposal", "checkbox", "false"),
    ("score", "text", ""),
    ("needle_id", "text", ""),
    ("crowd", "checkbox", "false"),
    ("ignore", "checkbox", "false"),
)
"""Attributes of every label, as CVAT defines them: name, input type, default."""


def to_cvat(frames: Sequence[ExportFrame]) -> Export:
    """`annotations.xml`: masks, boxes, and proposals as boxes whose attribute `proposal` is set.

    An annotator confirms a proposal by clearing the attribute, and rejects it by deleting the box.
    A frame with a proposal left is unfinished, and is refused on import.
    """
    used = sorted(frames, key=lambda frame: frame.frame_id)
    root = Element("annotations")
    _text(root, "version", "1.1")
    _meta(root, labels(used))
    for number, frame in enumerate(used):
        image = SubElement(
            root,
            "image",
            id=str(number),
            name=frame.file_name,
            width=str(frame.width),
            height=str(frame.height),
        )
        for annotation in frame.annotations or ():
            flags = {"crowd": annotation.crowd, "ignore": annotation.ignore}
            attributes = {name: "true" for name, is_set in flags.items() if is_set}
            if (mask := mask_on(frame, annotation)) is not None:
                _shape(image, "mask", annotation.category, _mask(mask), attributes)
            else:
                _shape(image, "box", annotation.category, _box(annotation.bbox), attributes)
        for proposal in frame.proposals:
            attributes = {"proposal": "true", "score": repr(proposal.score)}
            attributes["needle_id"] = proposal.needle_id or ""
            _shape(image, "box", proposal.category, _box(proposal.bbox), attributes)
    indent(root)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return Export({"annotations.xml": content}, used, lost_masks(used) | lost(used, frames))


def _meta(root: Element, names: Sequence[Category]) -> None:
    found = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in names:
        label = SubElement(found, "label")
        _text(label, "name", name)
        attributes = SubElement(label, "attributes")
        for attribute, kind, default in ATTRIBUTES:
            element = SubElement(attributes, "attribute")
            _text(element, "name", attribute)
            _text(element, "mutable", "False")
            _text(element, "input_type", kind)
            _text(element, "default_value", default)
            _text(element, "values", default)


def _box(bbox: Box) -> dict[str, str]:
    x, y, width, height = bbox
    corners = {"xtl": x, "ytl": y, "xbr": x + width, "ybr": y + height}
    return {name: repr(value) for name, value in corners.items()}


def _mask(mask: Rle) -> dict[str, str]:
    drawn = CvatMask.of(mask)
    sides = {name: str(getattr(drawn, name)) for name in ("left", "top", "width", "height")}
    return {"rle": ", ".join(map(str, drawn.runs)), **sides}


def _shape(
    image: Element,
    kind: str,
    category: str,
    geometry: dict[str, str],
    attributes: dict[str, str],
) -> None:
    label = {"label": category, "source": "manual", "occluded": "0"}
    element = SubElement(image, kind, label | geometry | {"z_order": "0"})
    for name, value in attributes.items():
        SubElement(element, "attribute", name=name).text = value


def _text(parent: Element, name: str, value: str) -> None:
    SubElement(parent, name).text = value

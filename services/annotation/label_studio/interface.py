"""A project's labelling interface: its rectangle control and its labels."""

from collections.abc import Collection
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.contracts.errors import InvalidSettings
from services.contracts.identity import Category
from services.formats.writers.label_studio import interface


@dataclass(frozen=True)
class Interface:
    """The parts of the interface that tasks refer to.

    Attributes
    ----------
    control, image : names of the rectangle control, and of the image that it draws on
    field : the task data field that contains the image's URL
    labels : the labels that annotators can choose
    """

    xml: str
    control: str
    image: str
    field: str
    labels: frozenset[Category]

    @classmethod
    def made(cls, labels: Collection[Category]) -> "Interface":
        """The interface of a project that Gazeloop creates."""
        return cls.parse(interface(sorted(labels)))

    @classmethod
    def parse(cls, xml: str) -> "Interface":
        """Parse a project's interface, which the team may have changed.

        Raises
        ------
        InvalidSettings
            It has no rectangle labels for an image.
        """
        root = _root(xml)
        control = root.find(".//RectangleLabels")
        image = None
        if control is not None:
            wanted = control.get("toName", "")
            image = next(
                (element for element in root.iter("Image") if element.get("name") == wanted), None
            )
        if control is None or image is None or not image.get("value", "").startswith("$"):
            raise InvalidSettings(
                "the project's labelling interface has no <RectangleLabels> for an <Image>;"
                " add one, or name another project with GAZELOOP_LABEL_STUDIO_PROJECT"
            )
        labels = (element.get("value") for element in control.findall("Label"))
        return cls(
            xml,
            control.get("name", ""),
            image.get("name", ""),
            image.get("value", "")[1:],
            frozenset(Category(label) for label in labels if label),
        )

    def with_labels(self, labels: Collection[Category]) -> "Interface":
        """The interface with these labels added; none is removed, because it may be in use."""
        new = sorted(set(labels) - self.labels)
        if not new:
            return self
        root = _root(self.xml)
        control = root.find(".//RectangleLabels")
        assert control is not None  # `parse` has checked it
        for name in new:
            SubElement(control, "Label", {"value": name})
        return self.parse(tostring(root, encoding="unicode"))


def _root(xml: str) -> Element:
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as exc:
        raise InvalidSettings(f"the project's labelling interface is no XML: {exc}") from exc
    return root

"""Read whole XML files from other tools, up to a size, without what a document type declares."""

from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.contracts.errors import InvalidRecord

MAX_XML_BYTES: Final = 256 * 1024 * 1024
"""Limit on a file: parsed, it takes several times as much memory."""


def xml_bytes(file: Path, most: int = MAX_XML_BYTES) -> bytes:
    """The file's content.

    Raises
    ------
    InvalidRecord
        `unreadable_file`; `invalid_xml`: it is larger.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as exc:
        raise InvalidRecord(f"{file}: {exc.strerror}", reason="unreadable_file") from exc
    if len(content) > most:
        raise InvalidRecord(f"{file}: more than {most:,} bytes of XML", reason="invalid_xml")
    return content


def parse_xml(content: bytes) -> Element:
    """The root element of these bytes.

    Raises
    ------
    InvalidRecord
        `invalid_xml`: it is no XML, or has a document type, which can declare endless entities.
    """
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except ParseError as exc:
        raise InvalidRecord(f"line {exc.position[0]}: {exc}", reason="invalid_xml") from exc
    except (DefusedXmlException, ValueError, LookupError) as exc:
        raise InvalidRecord(f"not plain XML: {exc!r}", reason="invalid_xml") from exc
    return root

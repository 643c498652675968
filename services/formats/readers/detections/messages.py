"""Formats that publish messages: JSON objects, one per line, per file, or in a list."""

from collections.abc import Iterator

from services.formats.readers.detections.files import Document, IsPart, OutputFiles
from services.formats.readers.detections.output import Output


def frame_name(*parts: object) -> str:
    """The name of a frame's image: its source and its number or time, joined by `_`.

    Slashes, as in a camera's address, would make the last part alone a file's name.
    """
    return "_".join(str(part).replace("/", "_").replace("\\", "_") for part in parts)


def messages(files: OutputFiles, is_message: IsPart, found: Output) -> Iterator[Document]:
    """The messages of a format; whatever is none is refused.

    It names no image, because only messages do.
    """
    for part in files.parts(is_message):
        if part.error is None:
            yield part
        else:
            found.refuse({}, part.value, part.location, part.error)

"""The files of a detector's output: one file, or a folder with a file per image or message."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.json_files import parse_json, read_json
from services.formats.readers.detections.class_names import ClassNames, found_names
from services.formats.readers.detections.output import ImageReference
from services.formats.readers.detections.yolo_keypoints import keypoint_numbers
from services.formats.readers.folders import visible_files

_ENDINGS = (".json", ".jsonl", ".ndjson", ".txt", ".csv")
_SAMPLE = 8
"""Files of a folder that formats are recognised by."""
_SAMPLED_ITEMS = 100
"""Items of a list or mapping that formats are recognised by; results can have millions."""
_HEAD_BYTES = 4096
_OWN_NAMES = ("file_name", "image_id")

IsPart = Callable[[Any], bool]
"""Whether a JSON value is one image's output, or one message, of a format."""


@dataclass(frozen=True)
class Document:
    """A JSON value: a file's, a line's, or an image's part of either.

    Attributes
    ----------
    image : the image, if the file's name or the value names it
    error : why there is no value
    """

    location: str
    image: ImageReference = field(default_factory=dict)
    value: Any = None
    error: InvalidRecord | None = None

    def parts(self, is_part: IsPart, most: int | None = None) -> "list[Document]":
        """The items of a list or mapping by image, if one of them is a part; else the value.

        Parameters
        ----------
        most : maximum number of items
        """
        is_whole = self.error is not None or is_part(self.value)
        items = [] if is_whole else list(islice(self._items(), most))
        return items if any(is_part(item.value) for item in items) else [self]

    def _items(self) -> Iterator["Document"]:
        if isinstance(self.value, dict):
            for name, value in self.value.items():
                yield Document(f"{self.location}:{name}", {"file_name": name}, _unquoted(value))
        elif isinstance(self.value, list):
            for at, value in enumerate(self.value):
                yield Document(f"{self.location}[{at}]", named_by(value), value)


def named_by(value: object) -> ImageReference:
    """The image that a value names itself; empty if it names none."""
    names = value if isinstance(value, dict) else {}
    return {key: names[key] for key in _OWN_NAMES if key in names}


def _unquoted(value: object) -> object:
    """The value of JSON within JSON, such as a mapping of what `to_json()` returned."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode())
    except (InvalidRecord, UnicodeEncodeError):
        return value


class OutputFiles:
    """A detector's output on the disk.

    Parameters
    ----------
    path : a file or a folder
    class_names : a file with the names of the detector's classes
    """

    def __init__(self, path: Path, class_names: Path | None = None) -> None:
        self.path = path
        self.is_folder = path.is_dir()
        self._class_names_file = class_names
        self._names_file = class_names or found_names(path)
        listed = visible_files(path, _ENDINGS) if self.is_folder else [path]
        self.files = [file for file in listed if file != self._names_file and file.is_file()]

    @property
    def names(self) -> ClassNames | None:
        """The names of the detector's classes, if the caller names their file.

        Names in the output's folder do not count: where a format's numbers can be the data set's
        category ids, a file that happens to be there would rename them.

        Raises
        ------
        InvalidRecord
            The file is unreadable, or has no names.
        """
        return ClassNames.read(self._class_names_file) if self._class_names_file else None

    @property
    def required_names(self) -> ClassNames:
        """The names of the detector's classes, given, or next to the output.

        Raises
        ------
        InvalidRecord
            The file is unreadable, or has no names; `unknown_category`: there is none.
        """
        return ClassNames.read(self._required_names_file)

    @property
    def keypoint_numbers(self) -> int:
        """The numbers of an object's keypoints, which the file with the names declares.

        Raises
        ------
        InvalidRecord
            As of `required_names`, and if `kpt_shape` cannot be read.
        """
        return keypoint_numbers(self._required_names_file)

    @property
    def _required_names_file(self) -> Path:
        if self._names_file is None:
            raise InvalidRecord(
                f"{self.path} has only the numbers of classes: give their names with --class-names"
                " (data.yaml, or a text file with a name per line)",
                reason="unknown_category",
            )
        return self._names_file

    def documents(self) -> Iterator[Document]:
        """The JSON values of all files; a file with a value per line has many.

        Raises
        ------
        InvalidRecord
            The output is a single file, and is unreadable.
        """
        if not self.is_folder:
            yield from self._single()
            return
        for file in self.files:
            yield from self._of_folder(file)

    def parts(self, is_part: IsPart) -> Iterator[Document]:
        """The parts of all documents; whatever is none of the format has an error."""
        for document in self.documents():
            for part in document.parts(is_part):
                if part.error is not None or is_part(part.value):
                    yield part
                else:
                    error = fields.malformed("it is not of the format of the other results")
                    yield Document(part.location, part.image, part.value, error)

    def has(self, is_part: IsPart) -> bool:
        """Whether the first items of one of the first files are of a format."""
        return any(
            is_part(part.value)
            for document in self._sample
            if document.error is None
            for part in document.parts(is_part, _SAMPLED_ITEMS)
        )

    def note_image(self, image: ImageReference, value: object) -> None:
        """Called by readers with each image that a part names, also where it has no detections.

        Here it does nothing: the data set lists its images.

        Parameters
        ----------
        value : the part
        """

    def texts(self) -> Iterator[tuple[Path, ImageReference]]:
        """The files that are not JSON, with the image that each file's name names."""
        return ((file, self._image(file)) for file in self.files if not _is_json(file))

    def _image(self, file: Path) -> ImageReference:
        folder = self.path if self.is_folder else self.path.parent
        relative = file.relative_to(folder).with_suffix("").as_posix()
        return {"file_name": relative.removeprefix("labels/")}

    def _single(self) -> list[Document]:
        return self._file_documents

    @cached_property
    def _file_documents(self) -> list[Document]:
        return list(_documents(self.path, self._image(self.path))) if _is_json(self.path) else []

    @cached_property
    def _sample(self) -> list[Document]:
        if not self.is_folder:
            return self._single()
        files = islice(filter(_is_json, self.files), _SAMPLE)
        return [document for file in files for document in self._of_folder(file)]

    def _of_folder(self, file: Path) -> Iterator[Document]:
        """The documents of one of many files, which does not end the others if it is broken."""
        if not _is_json(file):
            return
        image = self._image(file)
        try:
            found = list(_documents(file, image))
        except InvalidRecord as exc:
            found = [Document(str(file), image, error=exc)]
        yield from found


def _documents(file: Path, image: ImageReference) -> Iterator[Document]:
    try:
        value = read_json(file)
    except InvalidRecord as exc:
        lines = lines_of(file.read_bytes(), str(file)) if exc.reason == "invalid_json" else []
        if not lines:
            raise
        yield from lines
    else:
        yield Document(str(file), image, value)


def lines_of(content: bytes, location: str) -> list[Document]:
    """The values of content with one JSON object per line; empty if it has another form."""
    lines = [
        _line(text, f"{location}:{number}")
        for number, text in enumerate(content.split(b"\n"), 1)
        if text.strip()
    ]
    is_lines = len(lines) > 1 and isinstance(lines[0].value, dict)
    return lines if is_lines else []


def _line(text: bytes, location: str) -> Document:
    try:
        return Document(location, value=parse_json(text))
    except InvalidRecord as exc:
        return Document(location, value=text.decode(errors="replace")[:1000], error=exc)


def _is_json(file: Path) -> bool:
    """Whether the file is JSON by its name, or by its first character: some name it `.txt`."""
    if file.suffix.lower() == ".json":
        return True
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:
        return True  # Reading it as JSON reports the error.
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1] in {b"{", b"["}

"""The names of a detector's classes by number, from a file that its training used."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.json_files import read_json
from services.formats.readers.folders import text_of

_NAMES_FILES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")
"""Names of files beside an output that name its classes."""


def found_names(path: Path) -> Path | None:
    """A file with names in the folder of an output, or in the folder above it."""
    folder = path if path.is_dir() else path.parent
    files = (place / name for place in (folder, folder.resolve().parent) for name in _NAMES_FILES)
    return next((file for file in files if file.is_file()), None)


class ClassNames:
    """Names by class.

    Parameters
    ----------
    names : by the class's number as text, or by its code
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The names of a YAML, JSON, CSV or text file.

        YAML: `names`, a list or a mapping. JSON: a list or a mapping. CSV: code and name. Text: a
        name per line.

        Raises
        ------
        InvalidRecord
            The file is unreadable, or has no names.
        """
        ending = file.suffix.lower()
        if ending in {".yaml", ".yml"}:
            return cls(yaml_names(file))
        if ending == ".json":
            return cls(_numbered(read_json(file), file))
        text = text_of(file)
        if ending == ".csv":
            try:
                rows = [row for row in csv.reader(text.splitlines()) if len(row) > 1]
            except csv.Error as exc:
                raise InvalidRecord(f"{file}: not CSV: {exc}", reason="invalid_csv") from exc
            return cls({row[0].strip(): row[1].strip() for row in rows})
        return cls(_numbered([line.strip() for line in text.strip().splitlines()], file))

    def record_of(self, label: object, first: int = 0) -> Record:
        """The `category_name` of a class.

        Parameters
        ----------
        first : the number of the first class

        Raises
        ------
        InvalidRecord
            `unknown_category`: it has no name.
        """
        key = fields.key(label)
        name = self._names.get(str(key - first if isinstance(key, int) else key))
        if name is None:
            raise InvalidRecord(f"class {label!r:.40} has no name", reason="unknown_category")
        return {"category_name": name}


def yaml_names(file: Path) -> dict[str, str]:
    """Names by number, from a list or a mapping `names`; every scalar stays a string.

    Raises
    ------
    InvalidRecord
        `unreadable_file` or `invalid_yaml`.
    """
    names = yaml_content(file).get("names")
    if not isinstance(names, list | dict):
        raise InvalidRecord(f"{file} has no names", reason="invalid_yaml")
    return _numbered(names, file)


def yaml_content(file: Path) -> Record:
    """The mapping in a YAML file, empty if it holds none; every scalar stays a string.

    Raises
    ------
    InvalidRecord
        `unreadable_file` or `invalid_yaml`.
    """
    try:
        # BaseLoader only creates strings: `no` stays a name, and no object is constructed.
        content = yaml.load(file.read_bytes(), yaml.BaseLoader)  # noqa: S506  # see above
    except OSError as exc:
        raise InvalidRecord(f"{file}: {exc.strerror}", reason="unreadable_file") from exc
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidRecord(f"{file}: not YAML: {exc}", reason="invalid_yaml") from exc
    return content if isinstance(content, dict) else {}


def _numbered(names: Any, file: Path) -> dict[str, str]:
    if isinstance(names, list):
        names = {str(number): name for number, name in enumerate(names)}
    if not isinstance(names, dict):
        raise fields.malformed(f"{file} has no names")
    return {number: name for number, name in names.items() if isinstance(name, str)}

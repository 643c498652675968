"""Resolve file names in data sets; only files inside the user's folder are ever opened."""

import posixpath
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.contracts.errors import Invalid, InvalidRecord
from services.formats.geometry import Size
from services.runtime.images import ImageLimits, measure

_HEADER_LIMITS = ImageLimits(max_bytes=256 * 1024 * 1024, max_pixels=2**31)
_HEAD_BYTES = 4096
_ARCHIVE_LEFTOVERS = "__MACOSX"


def image_file(folder: Path, name: object) -> Path:
    r"""Find the named file (an image or its annotations) in the folder.

    A name is relative to the folder, or to a parent folder if it leads back inside: `img/1.jpg`,
    `../img/1.jpg` and `/data/img/1.jpg` all name a file of `/data/img`. `\` counts as `/`. Composed
    and decomposed characters are the same, as macOS writes names decomposed.

    Raises
    ------
    InvalidRecord
        `missing_image`, or `path_outside_folder`: it leads elsewhere, possibly through a link.
    """
    if not isinstance(name, str) or not name:
        raise InvalidRecord("the record names no image file", reason="malformed_record")
    root = folder.resolve()
    try:
        first = (root / name).resolve()
        for path in _candidate_paths(root, name):
            if path.is_relative_to(root) and path.is_file():
                return path
    except (OSError, ValueError, RuntimeError) as exc:  # too long, a NUL, or a loop of links
        raise InvalidRecord(f"there is no image {name!r:.200}", reason="missing_image") from exc
    if not first.is_relative_to(root):
        detail = f"{name!r:.200} is not inside {folder}: name it relative to that folder"
        raise InvalidRecord(detail, reason="path_outside_folder")
    raise InvalidRecord(f"there is no image {name!r:.200} in {folder}", reason="missing_image")


def _candidate_paths(root: Path, name: str) -> Iterator[Path]:
    slashed = name.replace("\\", "/")
    forms = (unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))
    names = dict.fromkeys((name, slashed, *forms))
    yield from ((root / text).resolve() for text in names)
    # The name may be relative to a parent folder: try the parts that lead back into this one.
    yield from ((above / text).resolve() for text in names for above in root.parents)


def plain_name(folder: Path | None, name: str) -> str:
    """A file's normalised name, equal for all its spellings; does not access the disk."""
    path = unicodedata.normalize("NFC", name.replace("\\", "/"))
    return posixpath.normpath(posixpath.join(str(folder.resolve()), path) if folder else path)


def visible_files(folder: Path, endings: Iterable[str]) -> list[Path]:
    """All files below a folder with one of the extensions, sorted, without hidden ones.

    Skips hidden folders (`.ipynb_checkpoints`) and `__MACOSX`, where archives made on a Mac keep
    metadata under the files' own names.

    Parameters
    ----------
    endings : extensions with their dot, in lower case
    """
    wanted = frozenset(endings)
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in wanted
        and not path.is_dir()  # a broken link is a file that cannot be read
        and not any(map(_is_hidden, path.relative_to(folder).parts))
    )


def head_of(file: Path) -> str:
    """The beginning of a text file, to detect its format; empty if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def columns_of(file: Path) -> set[str]:
    """The columns that a CSV file's first line names, to detect its format."""
    return set(head_of(file).partition("\n")[0].strip().split(","))


def text_of(file: Path) -> str:
    """A text file's content, without a byte order mark, as editors on Windows write one.

    Raises
    ------
    InvalidRecord
        `unreadable_file`.
    """
    try:
        return file.read_text("utf-8-sig", errors="replace")
    except OSError as exc:
        raise InvalidRecord(f"{file}: {exc.strerror}", reason="unreadable_file") from exc


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == _ARCHIVE_LEFTOVERS


def image_size(image: Path) -> Size | None:
    """The image's upright size from its header; None for an image that publishing will refuse."""
    try:
        with image.open("rb") as file:
            facts = measure(file.read(_HEADER_LIMITS.max_bytes + 1), _HEADER_LIMITS)
    except (OSError, Invalid):
        return None
    return facts.width, facts.height

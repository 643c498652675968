"""How results name the images of data sets that have no numbers: by path, name, stem or number."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from services.contracts.errors import InvalidRecord
from services.ingest import fields
from services.ingest.fields import Record
from services.ingest.importers.records import ImageKey

_ENDINGS = frozenset({".jpg", ".jpeg", ".png"})


class ImageNames:
    """Images by every name that a results file may call them by.

    Parameters
    ----------
    paths : the images' paths relative to the data set's folder, `/` between their parts
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths: dict[ImageKey, set[str]] = defaultdict(set)
        for path in paths:
            for name in _names(path):
                self._paths[name].add(path)

    def of(self, record: Record) -> str:
        """The path of the image that a result names by `file_name` or `image_id`.

        Raises
        ------
        InvalidRecord
            `unknown_image`: there is none, or more than one.
        """
        name = fields.key(record.get("file_name", record.get("image_id")))
        paths = self._paths.get(name) or self._paths.get(_without_ending(name), set())
        if len(paths) == 1:
            return next(iter(paths))
        what = f"{len(paths)} images are" if paths else "no image is"
        raise InvalidRecord(f"{what} called {name!r:.200}", reason="unknown_image")


def _without_ending(name: ImageKey) -> ImageKey:
    path = PurePosixPath(name) if isinstance(name, str) else None
    return str(path.with_suffix("")) if path and path.suffix.lower() in _ENDINGS else name


def _names(path: str) -> set[ImageKey]:
    parts = PurePosixPath(path)
    names: set[ImageKey] = {path, str(parts.with_suffix("")), parts.name, parts.stem}
    if parts.stem.isascii() and parts.stem.isdigit() and len(parts.stem) < 18:  # noqa: PLR2004  # below 2**63
        names.add(int(parts.stem))
    return names

"""KITTI: a text file per image, `type truncated occluded alpha left top right bottom …`.

See the object development kit's readme.txt. A `DontCare` region may hold objects of any category:
it becomes a crowd of every category of the data set, so that detections in it count neither as
right nor as wrong.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats.items import Dataset, Located
from services.formats.readers.folders import head_of, text_of, visible_files
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)

_FIELDS = (15, 16)
"""Of a label, and of a result, which has a score."""
_BOX = slice(4, 8)
_DONT_CARE = "DontCare"


def is_kitti(file: Path) -> bool:
    """Whether the first line of a text file is a label of KITTI's."""
    parts = head_of(file).partition("\n")[0].split()
    return len(parts) in _FIELDS and not parts[0].replace(".", "").isdigit()


def read_kitti(folder: Path, sent: NamedFrames) -> Dataset:
    """Open a folder of label files.

    They are read once for the categories, which the first `DontCare` needs, and again one by one:
    the labels of a large data set would not fit into memory.
    """
    files = visible_files(folder, [".txt"])
    categories = _categories(files)
    sources = [Located[object](file, str(file)) for file in files]

    def parse(source: Located[object]) -> Sequence[Version]:
        file = Path(source.location)
        frame = sent.of(str(file.relative_to(folder)))
        labels = _labels(text_of(file).splitlines(), categories)
        return [version_of(ReturnedFrame(frame.frame_id, None, source.location), labels, _drawn)]

    return Dataset(folder.name, len(files), returned(sources, parse))


def _categories(files: Iterable[Path]) -> list[str]:
    found = set()
    for file in files:
        with suppress(InvalidRecord):  # refused when its own labels are read
            found |= {line.split()[0] for line in text_of(file).splitlines() if line.strip()}
    return sorted(found - {_DONT_CARE})


def _labels(lines: Iterable[str], categories: Sequence[str]) -> list[tuple[str, str]]:
    """Each line with its category; a region nobody cares about with each of the categories."""
    found = [(line, line.split()[0]) for line in lines if line.strip()]
    return [
        (line, category)
        for line, kind in found
        for category in (categories if kind == _DONT_CARE else (kind,))
    ]


def _drawn(label: tuple[str, str]) -> DrawnBox:
    line, category = label
    parts = line.split()
    try:
        left, top, right, bottom = (float(part) for part in parts[_BOX])
    except ValueError:
        raise InvalidRecord(f"{line!r:.80} is not a label", reason="invalid_box") from None
    return DrawnBox(category, (left, top, right, bottom), crowd=parts[0] == _DONT_CARE)

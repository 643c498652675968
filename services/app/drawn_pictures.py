"""Where commands draw pictures in a data folder, and how they are named: erasures look for them."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from services.contracts.identity import NeedleId
from services.contracts.needles import NeedleFound

_ID_CHARACTERS: Final = 8
"""Characters of the needle's id at the end of a montage's name."""
_MONTAGE: Final = re.compile(rf"\d{{3}}-.*-[0-9a-f]{{{_ID_CHARACTERS}}}\.png")


def montage_folder(data: Path) -> Path:
    """The folder in which montages are drawn by default."""
    return data / "montages"


def search_folder(data: Path) -> Path:
    """The folder in which `gazeloop search` draws by default."""
    return data / "search"


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in one of these folders, sorted; none if there is no folder."""
    return sorted(folder.glob("*.png"))


def montage_name(number: int, needle: NeedleFound) -> str:
    """The name of a needle's montage, the n-th of a run."""
    category = re.sub(r"[^\w]+", "-", needle.category).strip("-") or "category"
    return f"{number:03d}-{category}-{needle.error_type}-{_end(needle.needle_id)}.png"


def is_montage(path: Path) -> bool:
    """Whether a file has the name of a montage."""
    return _MONTAGE.fullmatch(path.name) is not None


def montages_of(needles: Collection[NeedleId], folder: Path) -> list[Path]:
    """The montages of these needles in a folder, and maybe of others whose ids begin alike."""
    ends = {_end(needle_id) for needle_id in needles}
    return [path for path in pictures_in(folder) if path.stem.rpartition("-")[2] in ends]


def _end(needle_id: NeedleId) -> str:
    return needle_id[:_ID_CHARACTERS]

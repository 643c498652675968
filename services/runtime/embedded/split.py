"""Records in a data folder by which rule its frames were split, so that later commands use it.

Otherwise a command without the options of the first one would take frames of the reference for
haystack: `training-set` would write them, and `sample draw` would draw them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.contracts.errors import InvalidSettings
from services.runtime.durability import replace_file
from services.runtime.settings import Settings

SPLIT_FILE = "split.json"
"""Its name in the data folder."""


class SplitBy(BaseModel):
    """The settings that determine the split."""

    model_config = ConfigDict(frozen=True)

    reference_share: float
    split_seed: int
    split_by: Literal["drive", "frame"]


def note_split(settings: Settings) -> None:
    """Record by which rule frames are split from now on; does nothing without a data folder."""
    if settings.qdrant or not settings.data.is_dir():
        return
    split = SplitBy.model_validate(settings.model_dump(include=set(SplitBy.model_fields)))
    replace_file(settings.data / SPLIT_FILE, split.model_dump_json(indent=2).encode())


def noted_split(settings: Settings) -> dict[str, object]:
    """The recorded settings of a data folder; empty if there are none.

    Raises
    ------
    InvalidSettings
        The record cannot be read.
    """
    file = settings.data / SPLIT_FILE
    if settings.qdrant:
        return {}
    try:
        return SplitBy.model_validate_json(file.read_bytes()).model_dump()
    except FileNotFoundError:
        return {}
    except ValidationError as exc:
        raise InvalidSettings(
            f"{file} cannot be read; move it away, and set GAZELOOP_REFERENCE_SHARE,"
            " GAZELOOP_SPLIT_SEED and GAZELOOP_SPLIT_BY to what this folder's frames were split by"
        ) from exc

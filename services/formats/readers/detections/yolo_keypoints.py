"""The keypoints in lines of YOLO's. They follow the box; only the YAML file says how many."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from services.contracts.errors import InvalidRecord
from services.formats.readers.detections.class_names import yaml_content

V = TypeVar("V")

_BOX = 4


def keypoint_numbers(names: Path) -> int:
    """The numbers of all keypoints of an object, by `kpt_shape`; 0 where lines have no keypoints.

    A keypoint is x and y, and maybe whether it is visible.

    Parameters
    ----------
    names : the file with the names of the classes, in any format

    Raises
    ------
    InvalidRecord
        `invalid_yaml`: it cannot be read, or `kpt_shape` is not `[keypoints, 2 or 3]`.
    """
    if names.suffix.lower() not in {".yaml", ".yml"}:
        return 0
    declared = yaml_content(names).get("kpt_shape")
    if not declared:
        return 0
    match declared:
        case [str(count), "2" | "3" as coordinates] if count.isdecimal():
            return int(count) * int(coordinates)
    detail = f"{names}: kpt_shape {declared!r:.40} is not [keypoints, 2 or 3]"
    raise InvalidRecord(detail, reason="invalid_yaml")


def without_keypoints(values: Sequence[V], keypoints: int) -> list[V]:
    """The values of a line after its class: the box, and what follows the keypoints."""
    return [*values[:_BOX], *values[_BOX + keypoints :]]

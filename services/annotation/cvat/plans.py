"""Plan CVAT tasks without duplicates: no frame is in two of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.formats.writers.frames import ExportFrame

PREFIX = "gazeloop "
"""Prefix of the names of Gazeloop's tasks."""


@dataclass(frozen=True)
class TaskPlan:
    """A task to create."""

    name: str
    frames: tuple[ExportFrame, ...]


def planned(
    units: Mapping[str, Sequence[ExportFrame]], names: Collection[str], images: Collection[str]
) -> Iterator[TaskPlan]:
    """Tasks for frames without one, one per shortlist or family.

    A unit that has grown since its task was created gets another task for its new frames.

    Parameters
    ----------
    units : frames by the permanent name of their shortlist or family (`shortlist ID`)
    names, images : names of the existing tasks, and file names of their images
    """
    taken = set(images)
    for unit, frames in units.items():
        fresh = [frame for frame in frames if frame.file_name not in taken]
        if fresh:
            taken.update(frame.file_name for frame in fresh)
            yield TaskPlan(_free_name(f"{PREFIX}{unit}", names), tuple(fresh))


def _free_name(name: str, names: Collection[str]) -> str:
    part, found = 1, name
    while found in names:
        part += 1
        found = f"{name} part {part}"
    return found

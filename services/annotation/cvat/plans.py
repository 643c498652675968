"""Which tasks CVAT is given: none twice, and no frame in two of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.formats.writers.frames import ExportFrame

PREFIX = "gazeloop "
"""Begins the name of every task of ours."""


@dataclass(frozen=True)
class TaskPlan:
    """A task that is to be created."""

    name: str
    frames: tuple[ExportFrame, ...]


def planned(
    units: Mapping[str, Sequence[ExportFrame]], names: Collection[str], images: Collection[str]
) -> Iterator[TaskPlan]:
    """Tasks for the frames that are in none yet, one for each shortlist or family.

    A unit that has grown since its task was made gets a further one for what is new.

    Parameters
    ----------
    units : frames by what they are asked for, whose name never changes (`shortlist ID`)
    names, images : the tasks that are there, and the file names of the images in them
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

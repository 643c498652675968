"""Objects that tools write as several shapes, which have a group and a label in common."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

S = TypeVar("S")


def shapes_of_objects(
    shapes: Iterable[S], object_of: Callable[[S], Hashable | None]
) -> list[list[S]]:
    """The shapes of each object, in the order of the objects' first shapes.

    Parameters
    ----------
    object_of : what the shapes of one object have in common; None for a shape that is an object
    """
    objects: dict[Hashable, list[S]] = {}
    for at, shape in enumerate(shapes):
        key = object_of(shape)
        objects.setdefault(("shape", at) if key is None else ("object", key), []).append(shape)
    return list(objects.values())

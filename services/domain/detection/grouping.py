"""Objects of several frames in one column, sorted by group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, Self, TypeVar

import numpy as np

from services.contracts.events import Annotation, Detection
from services.contracts.identity import Category
from services.domain.arrays import IntArray

T = TypeVar("T", Detection, Annotation)


@dataclass(frozen=True)
class GroupedObjects(Generic[T]):
    """The objects of several frames, by group; a group is a category on one frame.

    Attributes
    ----------
    items : N objects, by group
    places : (N,) int64, the index of each among its frame's
    starts : (K + 1,) int64, where each group starts
    frames : (F + 1,) int64, where each frame starts
    """

    items: Sequence[T]
    places: IntArray
    starts: IntArray
    frames: IntArray

    @classmethod
    def of(cls, of_frames: Sequence[Sequence[T]], categories: Sequence[Sequence[Category]]) -> Self:
        """The objects of each frame, in the order of its categories."""
        objects: list[T] = []
        codes: list[int] = []
        first = 0
        for items, names in zip(of_frames, categories, strict=True):
            place = {name: first + k for k, name in enumerate(names)}
            objects += items
            codes += [place[item.category] for item in items]
            first += len(names)
        order, starts = grouped(np.array(codes, np.int64), first)
        frames = bounds(map(len, of_frames))
        places = order - np.repeat(frames[:-1], np.diff(frames))
        return cls([objects[i] for i in order.tolist()], places, starts, frames)


def bounds(sizes: Iterable[int]) -> IntArray:
    """Where each of N consecutive parts of these sizes starts, and the end: (N + 1,) int64."""
    return np.array([0, *accumulate(sizes)], np.int64)


def grouped(group: IntArray, groups: int) -> tuple[IntArray, IntArray]:
    """The order that sorts items by group, and where each group starts.

    Parameters
    ----------
    group : (N,) int64 from 0, the group of each item
    groups : K, the number of groups

    Returns
    -------
    order : (N,) int64; stable within a group
    starts : (K + 1,) int64
    """
    starts = np.zeros(groups + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=starts[1:])
    # numpy uses radix sort for 16-bit integers, which is ten times as fast.
    small = group.astype(np.uint16) if groups < 1 << 16 else group
    return np.argsort(small, kind="stable"), starts


def ranges(firsts: IntArray, sizes: IntArray) -> IntArray:
    """The indices of N ranges, one range behind the other: (sum(sizes),) int64."""
    ends = np.cumsum(sizes)
    return np.repeat(firsts - (ends - sizes), sizes) + np.arange(sizes.sum())


def group_of(starts: IntArray) -> IntArray:
    """The group of each item: (starts[-1],) int64."""
    return np.repeat(np.arange(starts.size - 1), np.diff(starts))

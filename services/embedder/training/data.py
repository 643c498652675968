"""Training data: examples with their pixels on disk, and held-out drives."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import orjson
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from services.contracts.errors import Invalid, InvalidSettings
from services.domain.arrays import BoolArray
from services.embedder.models.crops import Pixels
from services.embedder.training.labelled import Example, pixels_of

_MIN_DRIVES = 4
_MIN_PER_PART = 2
"""Drives that are held out at least, and that stay at least."""
_PIXELS, _INDEX = "pixels.npy", "pixels.json"


@dataclass(frozen=True)
class TrainingData:
    """Examples as parallel arrays.

    Attributes
    ----------
    pixels : (N, S, S, 3) uint8, on disk
    labels : (N,) int64, indices in `names`
    drives : (N,) int64
    held_out : (N,) bool, true for examples of held-out drives
    unreadable : frames whose image could not be read
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    drives: NDArray[np.int64]
    held_out: BoolArray
    names: Sequence[str]
    unreadable: Sequence[str]


def held_out_drives(drives: Sequence[str], share: float, seed: int) -> set[str]:
    """Choose drives to hold out, deterministically by the seed: at least two, and all but two.

    Raises
    ------
    InvalidSettings
        There are too few drives to hold any out.
    """
    all_drives = {*drives}
    if len(all_drives) < _MIN_DRIVES:
        raise InvalidSettings(
            f"the annotated frames are of {len(all_drives)} drives,"
            " but holding some out needs at least"
            f" {_MIN_DRIVES}: give more, or omit drive_id to hold out frames instead"
        )
    most = len(all_drives) - _MIN_PER_PART
    count = min(max(round(share * len(all_drives)), _MIN_PER_PART), most)
    order = sorted(all_drives, key=lambda item: hashlib.sha256(f"{seed}:{item}".encode()).digest())
    return {*order[:count]}


def digest_of(examples: Sequence[Example]) -> str:
    """sha256 of the examples' names, labels and drives, but not of their pixels."""
    total = hashlib.sha256()
    for example in examples:
        total.update(f"{example.name}\0{example.label}\0{example.frame.drive}\n".encode())
    return total.hexdigest()


def prepared(
    examples: Sequence[Example],
    held_out: set[str],
    side: int,
    folder: Path,
    advance: Callable[[int], None],
) -> TrainingData:
    """Load the examples with their pixels, which are decoded once and cached in the folder.

    Parameters
    ----------
    side : side of the square pixels
    advance : called with the number of newly read examples

    Raises
    ------
    InvalidSettings
        No image of the drives to learn from can be read, or none of the drives held out.
    """
    pixels, kept, unreadable = _pixels(examples, side, folder, advance)
    readable = [examples[place] for place in kept]
    if len({example.frame.drive in held_out for example in readable}) < len((True, False)):
        # Else the images would count as unreadable after they are corrected.
        (folder / _INDEX).unlink()
        raise InvalidSettings(
            f"{len(unreadable):,} images cannot be read, such as {unreadable[0]}, and too few are"
            " left to learn from some drives and hold out others: correct or replace them, and run"
            " the same command again"
        )
    names, labels = np.unique([example.label for example in readable], return_inverse=True)
    _, drives = np.unique([example.frame.drive for example in readable], return_inverse=True)
    return TrainingData(
        pixels,
        labels.astype(np.int64),
        drives.astype(np.int64),
        np.array([example.frame.drive in held_out for example in readable], np.bool_),
        [str(name) for name in names],
        unreadable,
    )


def _pixels(
    examples: Sequence[Example], side: int, folder: Path, advance: Callable[[int], None]
) -> tuple[Pixels, list[int], list[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    file, index = folder / _PIXELS, folder / _INDEX
    key = f"{digest_of(examples)}-{side}"
    if index.exists() and file.exists():
        known = orjson.loads(index.read_bytes())
        if known["key"] == key:
            advance(len(examples))
            stored: Pixels = np.load(file, mmap_mode="r")
            return stored, known["kept"], known["unreadable"]
    index.unlink(missing_ok=True)
    shape = (len(examples), side, side, 3)
    written: Pixels = open_memmap(file, "w+", np.uint8, shape)
    kept: list[int] = []
    unreadable: list[str] = []
    for _, group in groupby(range(len(examples)), key=lambda p: examples[p].frame.frame_id):
        places = list(group)
        frame = examples[places[0]].frame
        try:
            image = frame.read()
        except Invalid:
            unreadable.append(frame.frame_id)
        else:
            for place in places:
                written[len(kept)] = pixels_of(examples[place], image, side)
                kept.append(place)
        advance(len(places))
    index.write_bytes(orjson.dumps({"key": key, "kept": kept, "unreadable": unreadable}))
    return written[: len(kept)], kept, unreadable

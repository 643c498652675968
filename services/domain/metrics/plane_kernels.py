# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Bits of a block's detections, a plane per property, and how they change; see `match_index`."""

from typing import Any

import numpy as np

from services.domain.arrays import BitsArray
from services.domain.compiled import compiled
from services.domain.metrics.index_layout import BEST, COUNTED, PART, PLANES, WORDS

_ONE = np.uint64(1)
_LAST = np.uint64(63)
_FIVES = np.uint64(0x5555555555555555)
_THREES = np.uint64(0x3333333333333333)
_NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)
_BYTES = np.uint64(0x0101010101010101)
_TOP = np.uint64(56)
_TWO = np.uint64(2)
_FOUR = np.uint64(4)
_HALF = WORDS // 2
_FEW = 10


@compiled
def signed(value: Any) -> int:  # pragma: no cover
    """A small or unsigned integer as int64: with int64, uint64 would make a float64."""
    return np.int64(value)  # type: ignore[return-value]  # what Numba calls int


@compiled
def ones(word: np.uint64) -> int:  # pragma: no cover
    """The number of bits set; compiles to one instruction where the processor has it."""
    word -= word >> _ONE & _FIVES
    word = (word & _THREES) + (word >> _TWO & _THREES)
    word = word + (word >> _FOUR) & _NIBBLES
    return signed(word * _BYTES >> _TOP)


@compiled
def below(place: int) -> np.uint64:  # pragma: no cover
    """The bits before a place, from 0 to 63."""
    return (_ONE << np.uint64(place)) - _ONE


@compiled
def belongs(part: int, windows: int, place: int) -> np.uint64:  # pragma: no cover
    """The bits of the planes from `PART` on: part, windows, and rank on the frame."""
    best = (place < 1) | (place < _FEW) << 1
    return np.uint64(1 << part | windows << 3 | best << (BEST - PART))


@compiled
def _make_room(
    word: BitsArray, place: int, first: int, end: int, values: np.uint64
) -> None:  # pragma: no cover
    """Insert a bit into some planes' word, whose last bit is lost.

    Parameters
    ----------
    values : bit b goes to plane `first + b`
    """
    low = below(place)
    for p in range(first, end):
        old = word[p]
        new = (values >> np.uint64(p - first) & _ONE) << np.uint64(place)
        word[p] = (old & low) | new | (old & ~low) << _ONE


@compiled
def insert(
    planes: BitsArray,
    size: int,
    place: int,
    positive: np.uint64,
    counted: np.uint64,
    belonging: np.uint64,
) -> None:  # pragma: no cover
    """Insert a detection; those from its place on move up by one.

    Parameters
    ----------
    planes : (WORDS, PLANES) of one block, which is not full
    size : the number of detections before
    """
    word = place >> 6
    for w in range(size >> 6, word, -1):
        here, before = planes[w], planes[w - 1]
        for p in range(PLANES):
            here[p] = here[p] << _ONE | before[p] >> _LAST
    _make_room(planes[word], place & 63, 0, COUNTED, positive)
    _make_room(planes[word], place & 63, COUNTED, PART, counted)
    _make_room(planes[word], place & 63, PART, PLANES, belonging)


@compiled
def remove(planes: BitsArray, size: int, place: int) -> None:  # pragma: no cover
    """Remove a detection; those behind it move down by one."""
    word = place >> 6
    low = below(place & 63)
    here = planes[word]
    for p in range(PLANES):
        here[p] = (here[p] & low) | (here[p] >> _ONE & ~low)
    for w in range(word, size - 1 >> 6):
        here, after = planes[w], planes[w + 1]
        for p in range(PLANES):
            here[p] |= after[p] << _LAST
        for p in range(PLANES):
            after[p] >>= _ONE


@compiled
def assign(planes: BitsArray, place: int, belonging: np.uint64) -> None:  # pragma: no cover
    """Replace a detection's bits from the plane `PART` on."""
    word, bit = place >> 6, np.uint64(place & 63)
    for p in range(PART, PLANES):
        new = belonging >> np.uint64(p - PART) & _ONE
        planes[word, p] = planes[word, p] & ~(_ONE << bit) | new << bit


@compiled
def split(planes: BitsArray, upper: BitsArray) -> None:  # pragma: no cover
    """Move the upper half of a full block into an empty one."""
    upper[:_HALF] = planes[_HALF:]
    upper[_HALF:] = 0
    planes[_HALF:] = 0


@compiled
def transpose(square: BitsArray) -> None:  # pragma: no cover
    """Transpose 64 words of 64 bits in place: bit c of word r becomes bit r of word c.

    References
    ----------
    Warren, Hacker's Delight (2nd ed., 2012), section 7-3
    """
    step = 32
    mask = np.uint64(0x00000000FFFFFFFF)
    while step:
        shift = np.uint64(step)
        k = 0
        while k < square.size:
            swapped = (square[k] >> shift ^ square[k + step]) & mask
            square[k] ^= swapped << shift
            square[k + step] ^= swapped
            k = k + step + 1 & ~step
        step >>= 1
        mask ^= mask << np.uint64(step)


@compiled
def fill(planes: BitsArray, word: int, first: int, square: BitsArray) -> None:  # pragma: no cover
    """Write one word of some planes from 64 detections.

    Parameters
    ----------
    first : the first plane; bit b of a detection goes to plane `first + b`
    square : (64,) the bits of each detection; used up
    """
    transpose(square)
    for b in range(COUNTED if first < PART else PLANES - PART):
        planes[word, first + b] = square[b]

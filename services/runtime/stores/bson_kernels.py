# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Finds fields in BSON documents, and reads them, without a Python object per value.

The driver makes a dict of each document: of a million matches that are only counted, it takes six
times as long as this, which was half of an evaluator's restart (`benchmarks.rebuild`).
"""

import numpy as np
from numpy.typing import NDArray

from services.domain.arrays import IntArray
from services.domain.compiled import compiled

BytesArray = NDArray[np.uint8]

# Types, by https://bsonspec.org/spec.html
STRING, DOCUMENT, ARRAY, BINARY, BOOLEAN, INT32, INT64 = 2, 3, 4, 5, 8, 16, 18
_END = 0
_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@compiled
def integer(data: BytesArray, at: int, size: int) -> int:  # pragma: no cover
    """A signed little-endian integer of `size` bytes."""
    value = np.int64(0)
    for k in range(size):
        value |= np.int64(data[at + k]) << np.int64(8 * k)
    unused = np.int64(64 - 8 * size)
    return int(value << unused >> unused)


@compiled
def _extent(data: BytesArray, at: int, kind: int) -> tuple[int, int, int]:  # pragma: no cover
    """Where the contents of a value at `at` begin, their size, and where the value ends.

    The size is -1 for a type that matches do not have.
    """
    begin, size, rest = at, -1, 0
    if kind == STRING:
        begin, size, rest = at + 4, integer(data, at, 4) - 1, 1
    elif kind == BINARY:
        begin, size = at + 5, integer(data, at, 4)
    elif kind == ARRAY:
        size = integer(data, at, 4)
    elif kind == BOOLEAN:
        size = 1
    elif kind == INT32:
        size = 4
    elif kind == INT64:
        size = 8
    return begin, size, begin + size + rest


@compiled
def _after_name(data: BytesArray, at: int) -> int:  # pragma: no cover
    """The place behind a field's name, which ends with a zero."""
    while data[at]:
        at += 1
    return at + 1


@compiled
def _equal(left: BytesArray, right: BytesArray) -> bool:  # pragma: no cover
    """Whether two strings are the same."""
    if left.size != right.size:
        return False
    same = 0
    while same < left.size and left[same] == right[same]:
        same += 1
    return same == left.size


@compiled
def _field(
    name: BytesArray, names: BytesArray, ends: IntArray, likely: int
) -> int:  # pragma: no cover
    """Which field has this name, -1 for none; the likely one is tried first."""
    for k in range(ends.size):
        field = (likely + k) % ends.size
        if _equal(name, names[ends[field - 1] if field else 0 : ends[field]]):
            return field
    return -1


@compiled
def documents(data: BytesArray) -> int:  # pragma: no cover
    """The number of documents."""
    start = count = 0
    while start < data.size:
        start += integer(data, start, 4)
        count += 1
    return count


@compiled
def find_fields(
    data: BytesArray,
    names: BytesArray,
    ends: IntArray,
    kinds: IntArray,
    begins: IntArray,
    sizes: IntArray,
) -> bool:  # pragma: no cover
    """Find each document's fields of these names, at whatever depth.

    Parameters
    ----------
    data : (B,) uint8, the documents one after the other
    names : the fields' names, one after the other
    ends : (F,) where each name ends
    kinds, begins, sizes : (F, N) out, the type of each field's value, and where its contents are;
        as they were where a document lacks the field

    Returns
    -------
    Whether all values have a type that is known here.
    """
    start = 0
    for document in range(kinds.shape[1]):
        at, field = start + 4, -1
        start += integer(data, start, 4)
        while at < start:
            kind = int(data[at])
            if kind == _END:
                at += 1
                continue
            name, at = at + 1, _after_name(data, at + 1)
            if kind == DOCUMENT:
                at += 4
                continue
            # Fields mostly come in the same order.
            field = _field(data[name : at - 1], names, ends, field + 1)
            begin, size, at = _extent(data, at, kind)
            if size < 0:
                return False
            if field >= 0:
                kinds[field, document] = kind
                begins[field, document], sizes[field, document] = begin, size
    return True


@compiled
def items(
    data: BytesArray, begins: IntArray, ends: IntArray
) -> tuple[IntArray, IntArray, IntArray]:  # pragma: no cover
    """Find the items of arrays.

    Returns
    -------
    counts : (N,) items of each array; -1 where one is no string
    begins, sizes : (M,) of all items
    """
    counts = np.zeros(begins.size, np.int64)
    # An item takes at least its type, a digit and the digit's end, a length and a zero.
    most = int((ends - begins).sum()) // 8
    found, sizes = np.empty(most, np.int64), np.empty(most, np.int64)
    total = 0
    for n in range(begins.size):
        at = begins[n] + 4
        while at < ends[n] - 1:
            if data[at] != STRING:
                counts[n] = -1
                break
            found[total], sizes[total], at = _extent(data, _after_name(data, at + 1), STRING)
            counts[n] += 1
            total += 1
    return counts, found[:total], sizes[:total]


@compiled
def joined(data: BytesArray, begins: IntArray, sizes: IntArray) -> BytesArray:  # pragma: no cover
    """These parts of the data, one after the other."""
    found = np.empty(sizes.sum(), np.uint8)
    at = 0
    for n in range(begins.size):
        found[at : at + sizes[n]] = data[begins[n] : begins[n] + sizes[n]]
        at += sizes[n]
    return found


@compiled
def integers(data: BytesArray, begins: IntArray, sizes: IntArray) -> IntArray:  # pragma: no cover
    """(N,) the integers of these sizes."""
    found = np.empty(begins.size, np.int64)
    for n in range(begins.size):
        found[n] = integer(data, begins[n], sizes[n])
    return found


@compiled
def distinct(
    data: BytesArray, begins: IntArray, sizes: IntArray
) -> tuple[IntArray, IntArray]:  # pragma: no cover
    """Number strings, from 0 on in the order in which they first occur.

    Returns
    -------
    codes : (N,) the number of each string
    firsts : (U,) where each number first occurs

    References
    ----------
    Fowler, Noll and Vo's hash, 64 bits, variant 1a; looked up by linear probing.
    """
    room = 16
    while room < 2 * begins.size:
        room *= 2
    table = np.full(room, -1)
    codes = np.empty(begins.size, np.int64)
    firsts = np.empty(begins.size, np.int64)
    count = 0
    for n in range(begins.size):
        word = data[begins[n] : begins[n] + sizes[n]]
        mixed = _FNV_START
        for byte in word:
            mixed = (mixed ^ np.uint64(byte)) * _FNV_PRIME
        slot = np.int64(mixed & np.uint64(room - 1))
        while table[slot] >= 0:
            first = firsts[table[slot]]
            if _equal(word, data[begins[first] : begins[first] + sizes[first]]):
                break
            slot = (slot + 1) & (room - 1)
        else:
            table[slot], firsts[count] = count, n
            count += 1
        codes[n] = table[slot]
    return codes, firsts[:count]

# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""BSON documents of one shape as columns, in machine code.

The driver makes a Python object of every value, which costs ten times what the value is worth
where a million documents are read only to be counted.
"""

import numpy as np
from numpy.typing import NDArray

from services.domain.compiled import compiled
from services.domain.detection.coco import FloatArray, IntArray

BytesArray = NDArray[np.uint8]

# Types, by https://bsonspec.org/spec.html
_END, _DOUBLE, _STRING, _DOCUMENT, _ARRAY, _BOOLEAN, _NULL, _INT32, _INT64 = (
    *(0, 1, 2, 3, 4),
    *(8, 10, 16, 18),
)
_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_LEAST = 3
"""Bytes that a value takes at least, in an array: its type, a digit and the digit's end."""


@compiled
def _integer(data: BytesArray, at: int, size: int) -> int:  # pragma: no cover
    """A signed little-endian integer of `size` bytes."""
    value = np.int64(0)
    for k in range(size):
        value |= np.int64(data[at + k]) << np.int64(8 * k)
    unused = np.int64(64 - 8 * size)
    return int(value << unused >> unused)


@compiled
def _place(
    data: BytesArray, at: int, size: int, words: BytesArray, ends: IntArray, likely: int
) -> int:  # pragma: no cover
    """Which of some words these bytes are, -1 for none; the likely one is tried first."""
    for k in range(ends.size):
        word = (likely + k) % ends.size
        begin = ends[word - 1] if word else 0
        if ends[word] - begin != size:
            continue
        i = 0
        while i < size and data[at + i] == words[begin + i]:
            i += 1
        if i == size:
            return word
    return -1


@compiled
def _value(
    data: BytesArray, at: int, kind: int, words: BytesArray, ends: IntArray
) -> tuple[float, int]:  # pragma: no cover
    """A value as a number, and the bytes that it takes; -1 where it cannot be one."""
    if kind == _DOUBLE:
        return data[at : at + 8].view(np.float64)[0], 8
    if kind in (_INT32, _INT64):
        size = 4 if kind == _INT32 else 8
        return float(_integer(data, at, size)), size
    if kind == _BOOLEAN:
        return float(data[at]), 1
    if kind == _STRING:
        size = _integer(data, at, 4)
        word = _place(data, at + 4, size - 1, words, ends, 0)
        return 1.0 + word, 4 + size if word >= 0 else -1
    return 0.0, 0 if kind == _NULL else -1


@compiled
def _array(
    data: BytesArray, at: int, values: FloatArray, count: int, words: BytesArray, ends: IntArray
) -> int:  # pragma: no cover
    """Append an array's values to `values`; how many those are by then, -1 if one is no number."""
    end = at + _integer(data, at, 4) - 1
    at += 4
    while at < end:
        kind = data[at]
        at += 1
        while data[at]:  # its place, as text
            at += 1
        values[count], size = _value(data, at + 1, kind, words, ends)
        if size < 0:
            return -1
        at += 1 + size
        count += 1
    return count


@compiled
def _cell(
    data: BytesArray,
    at: int,
    kind: int,
    values: FloatArray,
    count: IntArray,
    words: BytesArray,
    ends: IntArray,
) -> int:  # pragma: no cover
    """Append a field's value or values to `values`; the bytes that it takes.

    Parameters
    ----------
    count : (1,) how many values there are, before and after; -1 for what cannot be read
    """
    if kind == _ARRAY:
        count[0] = _array(data, at, values, count[0], words, ends)
        return _integer(data, at, 4)
    if kind == _STRING:
        values[count[0]] = at + 4
        count[0] += 1
        return 4 + _integer(data, at, 4)
    if kind != _NULL:
        values[count[0]], size = _value(data, at, kind, words, ends)
        count[0] = count[0] + 1 if size >= 0 else -1
        return size
    return 0


@compiled
def columns(
    data: BytesArray,
    names: BytesArray,
    name_ends: IntArray,
    words: BytesArray,
    ends: IntArray,
) -> tuple[IntArray, FloatArray, IntArray]:  # pragma: no cover
    """Every document's fields of these names, at whatever depth.

    Parameters
    ----------
    data : (B,) uint8, the documents one after the other; each has no field but these
    names, words : the letters of the fields' names, and of the words that lists may hold
    name_ends, ends : (F,) and (W,) where each one's letters end

    Returns
    -------
    sizes : (F, documents) bytes of a string or length of a list, 1 for a number, 0 for nothing
    values : (F, N) each field's numbers, 1 + the places of its words, or where its strings begin
    counts : (F,) how many values each has; -1 where one is none of these
    """
    start = documents = 0
    while start < data.size:
        start += _integer(data, start, 4)
        documents += 1
    sizes = np.zeros((name_ends.size, documents), np.int64)
    counts = np.zeros(name_ends.size, np.int64)
    values = np.empty((name_ends.size, data.size // _LEAST))  # takes memory as it is written to
    start = field = 0
    for document in range(documents):
        at = start + 4
        start += _integer(data, start, 4)
        while at < start:
            kind = data[at]
            at += 1
            if kind == _END:
                continue
            name = at
            while data[at]:
                at += 1
            at += 1
            if kind == _DOCUMENT:
                at += 4
                continue
            # Fields mostly come in one order.
            field = _place(data, name, at - 1 - name, names, name_ends, field + 1)
            if field < 0:
                counts[:] = -1
                return sizes, values, counts
            before = counts[field]
            at += _cell(data, at, kind, values[field], counts[field : field + 1], words, ends)
            if counts[field] < 0:
                return sizes, values, counts
            sizes[field, document] = counts[field] - before
            if kind == _STRING:
                sizes[field, document] = at - int(values[field, before]) - 1
    return sizes, values, counts


@compiled
def distinct(
    data: BytesArray, begins: IntArray, sizes: IntArray
) -> tuple[IntArray, IntArray]:  # pragma: no cover
    """Strings by number, from 0 on as they are first met.

    Parameters
    ----------
    begins, sizes : (N,) where each string is in `data`

    Returns
    -------
    codes : (N,) the number of each
    firsts : (U,) where each number is first met

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
            if np.array_equal(word, data[begins[first] : begins[first] + sizes[first]]):
                break
            slot = (slot + 1) & (room - 1)
        else:
            table[slot], firsts[count] = count, n
            count += 1
        codes[n] = table[slot]
    return codes, firsts[:count]

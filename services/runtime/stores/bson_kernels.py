# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Reads BSON documents of one shape as columns, in machine code.

The driver creates a Python object for every value; when a million documents are read only to be
counted, that takes ten times as long as the counting needs.
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
"""Minimum bytes of a value in an array: its type, its index as one digit, and a zero byte."""


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
    """The index of these bytes among the words, -1 for none; index `likely` is tried first."""
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
    data: BytesArray, at: int, bson_type: int, words: BytesArray, ends: IntArray
) -> tuple[float, int]:  # pragma: no cover
    """A value as a number, and its size in bytes; size -1 if it is not a number."""
    if bson_type == _DOUBLE:
        return data[at : at + 8].view(np.float64)[0], 8
    if bson_type in (_INT32, _INT64):
        size = 4 if bson_type == _INT32 else 8
        return float(_integer(data, at, size)), size
    if bson_type == _BOOLEAN:
        return float(data[at]), 1
    if bson_type == _STRING:
        size = _integer(data, at, 4)
        word = _place(data, at + 4, size - 1, words, ends, 0)
        return 1.0 + word, 4 + size if word >= 0 else -1
    return 0.0, 0 if bson_type == _NULL else -1


@compiled
def _array(
    data: BytesArray, at: int, values: FloatArray, count: int, words: BytesArray, ends: IntArray
) -> int:  # pragma: no cover
    """Append an array's values to `values`; returns the new count, -1 if one is no number."""
    end = at + _integer(data, at, 4) - 1
    at += 4
    while at < end:
        bson_type = data[at]
        at += 1
        while data[at]:  # the index, as text
            at += 1
        values[count], size = _value(data, at + 1, bson_type, words, ends)
        if size < 0:
            return -1
        at += 1 + size
        count += 1
    return count


@compiled
def _cell(
    data: BytesArray,
    at: int,
    bson_type: int,
    values: FloatArray,
    count: IntArray,
    words: BytesArray,
    ends: IntArray,
) -> int:  # pragma: no cover
    """Append a field's value or values to `values`; returns the field's size in bytes.

    Parameters
    ----------
    count : (1,) number of values in `values`, updated; -1 if the field cannot be read
    """
    if bson_type == _ARRAY:
        count[0] = _array(data, at, values, count[0], words, ends)
        return _integer(data, at, 4)
    if bson_type == _STRING:
        values[count[0]] = at + 4
        count[0] += 1
        return 4 + _integer(data, at, 4)
    if bson_type != _NULL:
        values[count[0]], size = _value(data, at, bson_type, words, ends)
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
    """Read every document's fields of these names, at any depth.

    Parameters
    ----------
    data : (B,) uint8, the concatenated documents, which have no other fields
    names, words : concatenated bytes of the field names, and of the words that lists may contain
    name_ends, ends : (F,) and (W,) the offset at which each name or word ends

    Returns
    -------
    sizes : (F, documents) bytes of a string or length of a list, 1 for a number, 0 for none
    values : (F, N) each field's numbers, 1 + the indices of its words, or its strings' offsets
    counts : (F,) number of values of each field; -1 if one has another type
    """
    start = documents = 0
    while start < data.size:
        start += _integer(data, start, 4)
        documents += 1
    sizes = np.zeros((name_ends.size, documents), np.int64)
    counts = np.zeros(name_ends.size, np.int64)
    values = np.empty((name_ends.size, data.size // _LEAST))  # pages are allocated when written
    start = field = 0
    for document in range(documents):
        at = start + 4
        start += _integer(data, start, 4)
        while at < start:
            bson_type = data[at]
            at += 1
            if bson_type == _END:
                continue
            name = at
            while data[at]:
                at += 1
            at += 1
            if bson_type == _DOCUMENT:
                at += 4
                continue
            # Fields mostly have the same order in all documents.
            field = _place(data, name, at - 1 - name, names, name_ends, field + 1)
            if field < 0:
                counts[:] = -1
                return sizes, values, counts
            before = counts[field]
            at += _cell(data, at, bson_type, values[field], counts[field : field + 1], words, ends)
            if counts[field] < 0:
                return sizes, values, counts
            sizes[field, document] = counts[field] - before
            if bson_type == _STRING:
                sizes[field, document] = at - int(values[field, before]) - 1
    return sizes, values, counts


@compiled
def distinct(
    data: BytesArray, begins: IntArray, sizes: IntArray
) -> tuple[IntArray, IntArray]:  # pragma: no cover
    """Number distinct strings from 0 on, by first occurrence.

    Parameters
    ----------
    begins, sizes : (N,) offset and size of each string in `data`

    Returns
    -------
    codes : (N,) the number of each string
    firsts : (U,) index of each number's first occurrence

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

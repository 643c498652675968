"""Reads BSON documents of one shape as columns: see `bson_kernels`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.contracts.errors import Fatal
from services.domain.detection.coco import FloatArray, IntArray

T = TypeVar("T")


class BsonColumns:
    """A batch of documents as columns.

    Parameters
    ----------
    raw : concatenated documents, as in the driver's raw batches
    names : the columns: the names of all fields, at any depth
    words : the strings that lists may contain besides numbers
    """

    def __init__(self, raw: bytes, names: Sequence[str], words: Sequence[str]) -> None:
        from services.runtime.stores import bson_kernels  # noqa: PLC0415  # see compiled.py

        self._kernels = bson_kernels
        self._raw = raw
        self._fields = {name: k for k, name in enumerate(names)}
        self._data = np.frombuffer(raw, np.uint8)
        self._sizes, self._values, self._counts = bson_kernels.columns(
            self._data, *_joined(names), *_joined(words)
        )

    def mapped(self, name: str, value: Callable[[str], int]) -> IntArray:
        """(N,) int64, `value` of the field's string in each document."""
        spelled, codes = self.spelled(name)
        return np.array([value(text) for text in spelled], np.int64)[codes]

    def numbers(self, name: str) -> FloatArray:
        """(N,) the field's number in each document, exact up to 2**53."""
        return self._one_each(name)

    def lists(self, name: str) -> tuple[IntArray, FloatArray]:
        """(N,) the length of each document's list, and (M,) the values of all lists.

        A word's value is 1 + its index in `words`; that of null is 0.
        """
        field = self._fields[name]
        return self._sizes[field], self._values[field, : self._count(name)]

    def spelled(self, name: str) -> tuple[list[str], IntArray]:
        """The distinct strings, and (N,) the index of each document's string in them."""
        begins, sizes = self._one_each(name).astype(np.int64), self._sizes[self._fields[name]]
        codes, firsts = self._kernels.distinct(self._data, begins, sizes)
        ends = begins + sizes
        spelled = [self._raw[begins[k] : ends[k]].decode() for k in firsts]
        return spelled, codes

    def _one_each(self, name: str) -> FloatArray:
        field, documents = self._fields[name], self._sizes.shape[1]
        if self._count(name) != documents:
            raise Fatal(f"{documents} documents, and {self._counts[field]} have one {name}")
        return self._values[field, :documents]

    def _count(self, name: str) -> int:
        count = int(self._counts[self._fields[name]])
        if count < 0:
            raise Fatal(f"a document's {name} is neither a string nor a number nor numbers")
        return count


def _joined(words: Sequence[str]) -> tuple[NDArray[np.uint8], IntArray]:
    """The concatenated bytes of the words, and the offset at which each word ends."""
    encoded = [word.encode() for word in words]
    ends = np.cumsum([len(word) for word in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), ends


async def one_ahead(batches: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield each batch while the next one is being fetched."""
    coming = asyncio.ensure_future(anext(batches, None))
    try:
        while (batch := await coming) is not None:
            coming = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        coming.cancel()

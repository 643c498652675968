"""Fields of many BSON documents as columns; see `bson_kernels`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.domain.arrays import IntArray
from services.domain.metrics.match_columns import Names


class BsonColumns:
    """Documents whose fields of the same name have the same type.

    Parameters
    ----------
    raw : the documents one after the other, as the driver's raw batches have them
    fields : names of fields, at whatever depth

    Raises
    ------
    ValueError
        A value is neither a string, bytes, an integer, a truth value nor an array. Each method
        raises this too, where a document lacks the field or has another type there.
    """

    def __init__(self, raw: bytes, fields: Sequence[str]) -> None:
        from services.runtime.stores import bson_kernels  # noqa: PLC0415  # see compiled.py

        self._kernels = bson_kernels
        self._raw = raw
        self._data = np.frombuffer(raw, np.uint8)
        self._fields = {name: k for k, name in enumerate(fields)}
        found = np.zeros((3, len(fields), bson_kernels.documents(self._data)), np.int64)
        self._kinds, self._begins, self._sizes = found
        names = [name.encode() for name in fields]
        ends = np.cumsum([len(name) for name in names])
        letters = np.frombuffer(b"".join(names), np.uint8)
        if not bson_kernels.find_fields(self._data, letters, ends, *found):
            raise ValueError("a value's type is unknown")

    def __len__(self) -> int:
        return int(self._kinds.shape[1])

    def strings(self, name: str) -> Names[str]:
        """(N,) a field with a string in each document."""
        return self._named(*self._extents(name, self._kernels.STRING))

    def string_lists(self, name: str) -> tuple[IntArray, Names[str]]:
        """A field with an array of strings in each document.

        Returns
        -------
        counts : (N,) how many strings each document has
        names : (M,) all of them
        """
        begins, sizes = self._extents(name, self._kernels.ARRAY)
        counts, *extents = self._kernels.items(self._data, begins, begins + sizes)
        if (counts < 0).any():
            raise ValueError(f"{name} has something else than strings")
        return counts, self._named(*extents)

    def integers(self, name: str) -> IntArray:
        """(N,) int64, a field with an integer or a truth value in each document."""
        kinds = self._kernels.INT32, self._kernels.INT64, self._kernels.BOOLEAN
        return self._kernels.integers(self._data, *self._extents(name, *kinds))

    def joined(self, name: str, dtype: str) -> NDArray[Any]:
        """The values in all documents' bytes, one document's behind the other's."""
        found = self._kernels.joined(self._data, *self._extents(name, self._kernels.BINARY))
        return found.view(dtype)

    def _extents(self, name: str, *kinds: int) -> tuple[IntArray, IntArray]:
        field = self._fields[name]
        if not np.isin(self._kinds[field], kinds).all():
            raise ValueError(f"a document has no {name}, or one of another type")
        return self._begins[field], self._sizes[field]

    def _named(self, begins: IntArray, sizes: IntArray) -> Names[str]:
        codes, firsts = self._kernels.distinct(self._data, begins, sizes)
        ends = begins + sizes
        first = zip(begins[firsts].tolist(), ends[firsts].tolist(), strict=True)
        return Names([self._raw[begin:end].decode() for begin, end in first], codes)

"""Read fetched batches of records in bounded memory, and pass over those that cannot be read.

A batch of 1 MB can decompress to gigabytes: gzip reaches 1,000 : 1, zstd 10,000 : 1. aiokafka
decompresses whatever comes, and ends its consumer with the error of whatever cannot be
decompressed, again at each start. It has no setting or hook for either, so `bound_fetches` replaces
its decoders and the class that iterates over fetched batches.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NamedTuple

import aiokafka.codec
import cramjam
import numpy as np
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, legacy_records
from aiokafka.record.memory_records import _MemoryRecordsPy

from services.runtime.kafka.limits import MAX_EVENT_BYTES
from services.runtime.kafka.records import TransactionEnd, UnreadableBatch, size_of

MAX_BATCH_BYTES: Final = 4 * MAX_EVENT_BYTES
"""Of a decompressed batch. Clients close a batch at 1 MB or at their largest record."""
MAX_POLLED_RECORDS: Final = 4096
"""Taken from the fetched batches at once: an empty record takes 300 bytes as an object."""
_GZIP: Final = 31
"""zlib's `wbits` of gzip with the largest window."""
_USUAL_RATIO: Final = 32
_MIN_ROOM: Final = 65_536
"""Bytes. With the ratio: what nearly all batches fit into, as clearing pages takes time."""
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = 16
_XERIAL_LENGTH: Final = 4


class _TooLargeError(Exception):
    """A batch decompresses to more than `MAX_BATCH_BYTES`, or not at all."""

    def __init__(self, why: str = "it is longer") -> None:
        super().__init__(f"not decompressed within {MAX_BATCH_BYTES:,} bytes: {why}")


class _Substitute(NamedTuple):
    """A record as aiokafka takes it from a batch."""

    offset: int
    timestamp: int | None
    timestamp_type: int | None
    key: None
    value: UnreadableBatch | TransactionEnd
    headers: tuple[()] = ()
    checksum: None = None


class _ReadableBatch:
    """A batch; what cannot be read of it is one record, at the batch's last offset."""

    def __init__(self, batch: Any, note: Callable[[int], None]) -> None:
        self._batch = batch
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        batch = self._batch
        # Batches of the formats before Kafka 0.11 have no first offset, and no time of their own.
        first = getattr(batch, "base_offset", None)
        try:
            for record in batch:
                self._note(size_of(record.key, record.value, record.headers))
                yield record
                first = record.offset + 1
        # Whatever a broken batch raises: codecs' own errors, and those of broken lengths or texts.
        except Exception as exc:  # noqa: BLE001
            last = batch.next_offset - 1
            lost = f"offsets up to {last}" if first is None else f"offsets {first} to {last}"
            value = UnreadableBatch(f"{lost} cannot be read: {exc}".encode())
            yield _substitute(batch, value)


class _EndOfTransaction:
    """A batch of one record, which comes before the control batch that ends a transaction.

    aiokafka delivers nothing for a control batch. A group would never commit the last one, and so
    would always have lag.
    """

    producer_id = None
    is_control_batch = False

    def __init__(self, control: Any) -> None:
        self._control = control
        self.next_offset = control.next_offset

    def validate_crc(self) -> bool:
        """True: aiokafka checks the control batch itself, which follows."""
        return True

    def __iter__(self) -> Iterator[_Substitute]:
        yield _substitute(self._control, TransactionEnd())


def _substitute(batch: Any, value: UnreadableBatch | TransactionEnd) -> _Substitute:
    """A record at the last offset of a batch."""
    timestamp = getattr(batch, "max_timestamp", None)
    timestamp_type = getattr(batch, "timestamp_type", None)
    return _Substitute(batch.next_offset - 1, timestamp, timestamp_type, None, value)


class ReadableRecords:
    """What a fetch brought of a partition, in place of aiokafka's `MemoryRecords`.

    It ends early once it has given `MAX_BATCH_BYTES`; the rest is then fetched again.
    """

    def __init__(self, data: bytes) -> None:
        # The compiled one takes all batches of a fetch to have the format of the first, and fails
        # where a topic's format has changed.
        self._records = _MemoryRecordsPy(data)
        self._room = MAX_BATCH_BYTES
        self._control: Any = None

    def size_in_bytes(self) -> int:
        """Size of what was fetched."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another batch."""
        return self._control is not None or (self._room > 0 and self._records.has_next())

    def next_batch(self) -> Any:
        """The next batch."""
        if self._control is not None:
            control, self._control = self._control, None
            return control
        batch: Any = self._records.next_batch()
        if not batch.is_control_batch:
            return _ReadableBatch(batch, self._take)
        self._control = batch
        return _EndOfTransaction(batch)

    def _take(self, size: int) -> None:
        self._room -= size


def bound_fetches() -> None:
    """Make aiokafka's consumers of this process read so; repeats change nothing."""
    fetcher.MemoryRecords = ReadableRecords
    for module in _codec_users():
        for name, decode in _DECODERS.items():
            if hasattr(module, name):
                setattr(module, name, decode)


def _codec_users() -> Iterator[ModuleType]:
    """The modules that hold aiokafka's decoders by name: in Python, and the compiled ones."""
    for module in (default_records, legacy_records):
        yield module
        with suppress(ImportError):
            yield import_module(f"aiokafka.record._crecords.{module.__name__.rpartition('.')[2]}")


def _from_gzip(content: Any) -> bytes:
    left, parts, room = bytes(content), [], MAX_BATCH_BYTES
    while left:
        stream = zlib.decompressobj(_GZIP)
        parts.append(stream.decompress(left, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise _TooLargeError
        if not stream.eof:
            raise CorruptRecordException("the gzip stream is cut off")
        left = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _from_snappy(content: bytes) -> bytes:
    if sum(map(cramjam.snappy.decompress_raw_len, _snappy_blocks(content))) > MAX_BATCH_BYTES:
        raise _TooLargeError
    return bytes(aiokafka.codec.snappy_decode(content))


def _snappy_blocks(content: bytes) -> Iterator[bytes]:
    if not content.startswith(_XERIAL):
        yield content
        return
    start = _XERIAL_HEADER
    while start < len(content):
        size = int.from_bytes(content[start : start + _XERIAL_LENGTH], "big", signed=True)
        if size < 0:
            raise CorruptRecordException(f"a snappy block of {size} bytes")
        start += _XERIAL_LENGTH
        yield content[start : start + size]
        start += size


def _into_room(decompress_into: Callable[[bytes, Any], int]) -> Callable[[bytes], bytes]:
    def decode(content: bytes) -> bytes:
        with suppress(cramjam.DecompressionError):
            return into(_USUAL_RATIO * len(content) + _MIN_ROOM, content)
        try:
            return into(MAX_BATCH_BYTES, content)
        except cramjam.DecompressionError as exc:
            raise _TooLargeError(str(exc)) from exc

    def into(size: int, content: bytes) -> bytes:
        room = np.empty(min(size, MAX_BATCH_BYTES), np.uint8)
        return room[: decompress_into(content, room)].tobytes()

    return decode


_DECODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "gzip_decode": _from_gzip,
    "snappy_decode": _from_snappy,
    "lz4_decode": _into_room(cramjam.lz4.decompress_into),
    "zstd_decode": _into_room(cramjam.zstd.decompress_into),
}

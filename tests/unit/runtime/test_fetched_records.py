"""What is fetched is read in bounded memory; a batch that cannot be read becomes one record."""

import gzip
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import ConsumerRecord

from services.runtime.kafka.fetched_records import (
    MAX_BATCH_BYTES,
    ReadableRecords,
    bound_fetches,
)
from services.runtime.kafka.records import TransactionEnd, UnreadableBatch

PLAIN, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
ABORT, COMMIT = range(2)
HEADER_BYTES = 61
"""Of a batch, before its records."""
QUARTER = bytes(MAX_BATCH_BYTES // 4)


@pytest.fixture(autouse=True)
def bounded() -> None:
    bound_fetches()


def batch(
    codec: int,
    values: Sequence[bytes],
    base: int,
    *,
    key: bytes = b"key",
    header: bytes | None = None,
    producer: int = -1,
) -> bytes:
    """A batch of records, the first with this offset; of a transaction if it names a producer."""
    builder = DefaultRecordBatchBuilder(2, codec, producer >= 0, producer, 0, 0, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1_000, key, value, [("name", header)])
    return at(base, builder.build())


def at(base: int, built: bytearray) -> bytes:
    """The batch, with this offset."""
    built[:8] = base.to_bytes(8, "big")
    return bytes(built)


def end_of_transaction(outcome: int, base: int, producer: int) -> bytes:
    """A control batch."""
    builder = DefaultRecordBatchBuilder(2, PLAIN, 1, producer, 0, -1, 1 << 30)
    builder.append(0, 1_000, struct.pack(">hh", 0, outcome), bytes(6), [])
    built = builder.build()
    built[22] |= 0x20  # of the attributes: it is a control batch
    return at(base, built)


def legacy(magic: int, codec: int, values: Sequence[bytes], last: int) -> bytes:
    """Records in a format before Kafka 0.11, the last with this offset if they are compressed."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1_000, b"key", value)
    built = builder.build()
    return bytes(built) if codec == PLAIN else at(last, built)


def with_records(head: bytes, records: bytes) -> bytes:
    """A batch with the header of another one."""
    whole = bytearray(head[:HEADER_BYTES] + records)
    whole[8:12] = (len(whole) - 12).to_bytes(4, "big")
    return bytes(whole)


def read(data: bytes, aborted: Sequence[tuple[int, int]] = ()) -> tuple[list[ConsumerRecord], int]:
    """The records that aiokafka makes of it, and from where it fetches next.

    Parameters
    ----------
    aborted : the producer and first offset of each aborted transaction
    """
    part = TopicPartition("topic", 0)
    # Checksums are the broker's to check where a test changes bytes.
    found = PartitionRecords(part, ReadableRecords(data), aborted, 0, None, None, False, 1)
    return list(found), found.next_fetch_offset


def unreadable(records: Sequence[ConsumerRecord]) -> Iterator[tuple[int, str]]:
    for record in records:
        if isinstance(record.value, UnreadableBatch):
            yield record.offset, record.value.decode()


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_batch_of_the_largest_size_is_read(codec: int) -> None:
    values = [b"first", *[QUARTER] * 3, b"last"]
    records, following = read(batch(codec, values, 0))
    assert [record.value for record in records] == values
    assert following == 5


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_larger_batch_is_one_unreadable_record_and_its_neighbours_go_through(codec: int) -> None:
    before, after = batch(PLAIN, [b"before"], 0), batch(codec, [b"after"], 6)
    records, following = read(before + batch(codec, [QUARTER] * 5, 1) + after)
    assert [record.value for record in (records[0], records[2])] == [b"before", b"after"]
    ((offset, why),) = unreadable(records)
    assert offset == 5
    assert why.startswith("offsets 1 to 5 cannot be read: not decompressed within 33,554,432 bytes")
    assert (len(records), following) == (3, 7)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize(
    "records", [b"", b"\x82SNAPPY\x00" + b"\xff" * 40, b"\x1f\x8b\x08 garbage"]
)
def test_what_no_codec_wrote_is_one_unreadable_record(codec: int, records: bytes) -> None:
    broken = with_records(batch(codec, [b"a", b"b"], 0), records)
    found, following = read(broken + batch(codec, [b"after"], 2))
    assert [offset for offset, _ in unreadable(found)] == [1]
    assert [record.value for record in found][1:] == [b"after"]
    assert following == 3


def test_gzip_of_several_members_is_one_stream() -> None:
    plain, head = batch(PLAIN, [b"a", b"b"], 0), batch(GZIP, [b"a", b"b"], 0)
    records = plain[HEADER_BYTES:]
    members = gzip.compress(records[:9]) + gzip.compress(records[9:]) + bytes(3)
    assert [record.value for record in read(with_records(head, members))[0]] == [b"a", b"b"]


def test_snappy_is_read_without_blocks_too() -> None:
    plain, head = batch(PLAIN, [b"a", b"b"], 0), batch(SNAPPY, [b"a", b"b"], 0)
    records = bytes(cramjam.snappy.compress_raw(plain[HEADER_BYTES:]))
    assert [record.value for record in read(with_records(head, records))[0]] == [b"a", b"b"]


def test_what_comes_before_a_name_that_is_no_text_is_read() -> None:
    broken = bytearray(batch(PLAIN, [b"a", b"b", b"c"], 0))
    at = broken.index(b"name", broken.index(b"name") + 1)
    broken[at : at + 1] = b"\xff"
    records, following = read(bytes(broken))
    assert [record.value for record in records[:1]] == [b"a"]
    ((offset, why),) = unreadable(records)
    assert (offset, following) == (2, 3)
    assert why.startswith("offsets 1 to 2 cannot be read: 'utf-8' codec")


def test_a_fetch_ends_where_it_has_given_as_much_as_a_batch_may_hold() -> None:
    bombs = b"".join(batch(ZSTD, [QUARTER] * 3, base) for base in range(0, 30, 3))
    records, following = read(bombs)
    assert len(records) == following == 6
    assert len(read(bombs[len(bombs) // 2 :])[0]) == 6


@pytest.mark.parametrize("parts", [{"key": QUARTER}, {"header": QUARTER}], ids=["key", "header"])
def test_keys_and_headers_count_like_values(parts: dict[str, Any]) -> None:
    bombs = [batch(ZSTD, [b""] * 3, base, **parts) for base in range(0, 30, 3)]
    records, following = read(b"".join(bombs))
    assert len(records) == following == 6


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [PLAIN, GZIP])
def test_formats_of_old_segments_are_read(magic: int, codec: int) -> None:
    records, following = read(legacy(magic, codec, [b"a", b"b"], 1) + batch(PLAIN, [b"c"], 2))
    assert [record.value for record in records] == [b"a", b"b", b"c"]
    assert following == 3


@pytest.mark.parametrize("magic", [0, 1])
def test_an_old_batch_that_cannot_be_read_is_one_unreadable_record(magic: int) -> None:
    broken = legacy(magic, GZIP, [b"a", b"b"], 1).replace(b"\x1f\x8b", b"\0\0")
    records, following = read(broken + batch(PLAIN, [b"after"], 2))
    ((offset, why),) = unreadable(records)
    assert (offset, following) == (1, 3)
    assert why.startswith("offsets up to 1 cannot be read: ")
    assert records[-1].value == b"after"


def test_an_aborted_transaction_is_not_read_and_the_end_of_every_one_is_a_record() -> None:
    aborted = batch(PLAIN, [b"a", b"b"], 0, producer=7) + end_of_transaction(ABORT, 2, 7)
    committed = batch(PLAIN, [b"c"], 3, producer=7) + end_of_transaction(COMMIT, 4, 7)
    records, following = read(aborted + committed, [(7, 0)])
    found = [(record.offset, record.value) for record in records]
    assert found == [(2, b""), (3, b"c"), (4, b"")]
    assert [isinstance(value, TransactionEnd) for _, value in found] == [True, False, True]
    assert following == 5

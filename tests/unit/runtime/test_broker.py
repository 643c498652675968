import pytest

from services.contracts.errors import InvalidSettings
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.partitions import partition_of, partition_of_key
from tests import samples


def test_servers_are_listed() -> None:
    address = BrokerAddress.parse("a:1,b:2")
    assert address.client_options == {"bootstrap_servers": ["a:1", "b:2"]}
    assert address.faust_url == "kafka://a:1;kafka://b:2"


def test_the_in_memory_broker_is_told_by_its_scheme() -> None:
    address = BrokerAddress.parse("memory://127.0.0.1:1")
    assert address.in_memory
    assert address.client_options["api_version"] == (2, 3)


@pytest.mark.parametrize("setting", ["a:1,b:2", "memory://127.0.0.1:1"])
def test_an_address_is_written_as_it_is_read(setting: str) -> None:
    assert str(BrokerAddress.parse(setting)) == setting


@pytest.mark.parametrize("setting", ["", "localhost", "a:1,", "a:b", ":9092"])
def test_what_names_no_server_is_refused(setting: str) -> None:
    with pytest.raises(InvalidSettings):
        BrokerAddress.parse(setting)


# From the UtilsTest of Kafka's own Java clients.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)],
)
def test_partitions_are_those_of_kafkas_own_clients(key: str, hashed: int) -> None:
    assert partition_of_key(key, 1000) == (hashed & 0x7FFFFFFF) % 1000


def test_matches_of_one_category_share_a_partition() -> None:
    matches = [samples.frame_matched(f"f{number}") for number in range(50)]
    assert len({partition_of(match, 8) for match in matches}) == 1


def test_frames_spread_over_the_partitions() -> None:
    frames = [samples.frame_captured(f"f{number}") for number in range(200)]
    assert {partition_of(frame, 8) for frame in frames} == set(range(8))

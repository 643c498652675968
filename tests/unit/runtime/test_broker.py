from pathlib import Path
from typing import Any

import pytest

from services.contracts.errors import InvalidSettings
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.partitions import partition_of, partition_of_key
from services.runtime.settings import Settings
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


def test_a_ca_turns_tls_on() -> None:
    ca = Path("ca.pem")
    own = Settings(kafka="a:1", kafka_ca=ca)
    foreign = Settings(bridge_kafka="b:1", bridge_kafka_ca=ca)
    for address in (BrokerAddress.of(own), BrokerAddress.of_bridge(foreign)):
        assert (address.access.protocol, address.access.ca) == ("SSL", ca)


@pytest.mark.parametrize("prefix", ["kafka", "bridge_kafka"])
def test_a_user_without_a_password_is_refused(prefix: str) -> None:
    settings = Settings.model_validate({prefix: "a:1", f"{prefix}_user": "ana"})
    named = f"GAZELOOP_{prefix.upper()}_PASSWORD is not set, and the user ana is"
    of = BrokerAddress.of if prefix == "kafka" else BrokerAddress.of_bridge
    with pytest.raises(InvalidSettings, match=named):
        of(settings)


@pytest.mark.parametrize(
    ("name", "value"), [("user", "ana"), ("password", "x"), ("tls", True), ("ca", "ca.pem")]
)
def test_access_to_a_bridges_cluster_that_is_not_named_is_refused(name: str, value: Any) -> None:
    settings = Settings.model_validate({"kafka": "a:1", f"bridge_kafka_{name}": value})
    named = f"GAZELOOP_BRIDGE_KAFKA_{name.upper()} is set, and GAZELOOP_BRIDGE_KAFKA is not"
    with pytest.raises(InvalidSettings, match=named):
        BrokerAddress.of_bridge(settings)

"""Which vehicle may name which ids, and that no two may name the same."""

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.identity import VehicleId
from services.domain.namespaces import Vehicle
from services.runtime.http.tokens import Authenticator, create, rotate
from tests.fakes.clock import FakeClock
from tests.fakes.tokens import InMemoryTokenStore


def vehicle(prefix: str) -> Vehicle:
    # As a token's file gives it: equal prefixes are different objects.
    return Vehicle(VehicleId("v"), prefix.encode().decode())


@pytest.mark.parametrize("name", ["a:", "a:1", "a/1", "a:b:1"])
def test_ids_that_begin_with_the_prefix_and_a_separator_are_owned(name: str) -> None:
    assert vehicle("a").owns(name)


@pytest.mark.parametrize("name", ["a", "ab:1", "b:a:1", "A:1", "a-1", ""])
def test_all_other_ids_are_not(name: str) -> None:
    assert not vehicle("a").owns(name)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("car", "car", True),
        ("a", "a:b", True),
        ("a/b", "a", True),
        ("a", "ab", False),
        ("a", "b", False),
    ],
)
def test_prefixes_overlap_where_one_lies_within_the_other(
    one: str, other: str, *, overlap: bool
) -> None:
    assert vehicle(one).overlaps(vehicle(other)) is overlap
    assert vehicle(other).overlaps(vehicle(one)) is overlap


async def test_no_token_is_made_for_ids_that_another_vehicle_may_name() -> None:
    tokens, now = InMemoryTokenStore(), FakeClock().now()
    await create(tokens, "vehicle:vehicle-7", now, prefix="7")

    for scope, prefix in (("vehicle:7", ""), ("vehicle:7:left", ""), ("vehicle:x", "7")):
        with pytest.raises(InvalidRecord, match="--prefix") as refused:
            await create(tokens, scope, now, prefix)
        assert refused.value.reason == "namespace_taken"

    await create(tokens, "vehicle:vehicle-7", now, prefix="7")  # its own, on another computer
    await create(tokens, "vehicle:vehicle-70", now)
    assert len(await tokens.list()) == 3


async def test_the_ids_of_a_revoked_token_may_be_given_to_another_vehicle() -> None:
    tokens, now = InMemoryTokenStore(), FakeClock().now()
    await create(tokens, "vehicle:vehicle-7", now, prefix="7")
    (record,) = await tokens.list()
    await tokens.revoke(record.token_id, now)

    await create(tokens, "vehicle:7", now)


async def test_a_rotated_token_keeps_its_prefix() -> None:
    tokens, clock = InMemoryTokenStore(), FakeClock()
    await create(tokens, "vehicle:vehicle-7", clock.now(), prefix="7")
    (record,) = await tokens.list()

    from_now_on = await rotate(
        tokens, record.token_id, clock.now(), grace=clock.now() - clock.now()
    )

    caller = await Authenticator(tokens, clock).caller(from_now_on or "")
    assert caller is not None
    assert caller.vehicle == Vehicle(VehicleId("vehicle-7"), "7")


@pytest.mark.parametrize(
    ("scope", "prefix"), [("annotation", ""), ("annotation:ada", "7"), ("admin", ""), ("", "")]
)
async def test_a_token_that_nobody_could_use_is_not_made(scope: str, prefix: str) -> None:
    tokens = InMemoryTokenStore()

    with pytest.raises(InvalidRecord) as refused:
        await create(tokens, scope, FakeClock().now(), prefix)

    assert refused.value.reason == "invalid_scope"
    assert await tokens.list() == []

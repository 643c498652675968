"""Who is let in, and for how long."""

from datetime import timedelta

from services.runtime.http.tokens import Authenticator, issue, rotate
from tests.fakes.clock import FakeClock
from tests.fakes.tokens import InMemoryTokenStore

HOUR = timedelta(hours=1)


class Door:
    def __init__(self) -> None:
        self.tokens = InMemoryTokenStore()
        self.clock = FakeClock()
        self.callers = Authenticator(self.tokens, self.clock)

    async def issued(self, scope: str = "vehicle:v1") -> tuple[str, str]:
        token, record = issue(scope, self.clock.now())
        await self.tokens.add(record)
        return token, record.token_id

    async def lets_in(self, token: str) -> bool:
        return await self.callers.caller(token) is not None

    async def used_at(self, token_id: str) -> object:
        record = await self.tokens.find(token_id)
        return record and record.used_at


async def test_both_tokens_are_valid_for_the_grace_period_and_then_the_new_one() -> None:
    door = Door()
    old, token_id = await door.issued()
    new = await rotate(door.tokens, token_id, door.clock.now(), 2 * HOUR)
    assert new is not None
    assert (await door.lets_in(old), await door.lets_in(new)) == (True, True)
    await door.clock.sleep(HOUR.total_seconds() * 2 - 1)
    assert await door.lets_in(old)
    await door.clock.sleep(1)
    assert (await door.lets_in(old), await door.lets_in(new)) == (False, True)


async def test_a_rotated_token_may_do_what_the_old_one_did() -> None:
    door = Door()
    _, token_id = await door.issued("annotation")
    new = await rotate(door.tokens, token_id, door.clock.now(), HOUR)
    caller = await door.callers.caller(new or "")
    assert caller is not None
    assert caller.scope.vehicle_id is None
    assert caller.token_id != token_id


async def test_without_grace_the_old_token_ends_at_once() -> None:
    door = Door()
    old, token_id = await door.issued()
    await rotate(door.tokens, token_id, door.clock.now(), timedelta(0))
    assert not await door.lets_in(old)


async def test_what_is_not_valid_is_not_rotated() -> None:
    door = Door()
    _, token_id = await door.issued()
    await door.tokens.revoke(token_id, door.clock.now())
    assert await rotate(door.tokens, token_id, door.clock.now(), HOUR) is None
    assert await rotate(door.tokens, "nobody", door.clock.now(), HOUR) is None
    assert len(await door.tokens.list()) == 1


async def test_a_use_is_remembered_about_once_an_hour_and_only_of_the_right_secret() -> None:
    door = Door()
    token, token_id = await door.issued()
    assert not await door.lets_in(token[:-1] + ("A" if token[-1] != "A" else "B"))
    assert await door.used_at(token_id) is None
    first = door.clock.now()
    await door.lets_in(token)
    await door.clock.sleep(HOUR.total_seconds() - 1)
    await door.lets_in(token)
    assert await door.used_at(token_id) == first
    await door.clock.sleep(1)
    await door.lets_in(token)
    assert await door.used_at(token_id) == door.clock.now()

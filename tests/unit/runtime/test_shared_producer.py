import asyncio
from threading import Event, Lock, current_thread
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from services.contracts.errors import BrokerUnavailable
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.kafka_python_producer import KafkaPythonProducer
from services.runtime.kafka.shared_producer import SharedProducer
from services.runtime.settings import Settings
from tests.deadline import until

BROKER = BrokerAddress.parse("127.0.0.1:9092")


class Sender:
    def __init__(self) -> None:
        self.ended = Event()

    def force_close(self) -> None:
        self.ended.set()


class Client:
    """Closes as kafka-python's does: it raises while records wait for a broker that is away."""

    def __init__(self) -> None:
        self._sender = Sender()
        self.closed = Event()

    def close(self, timeout: float) -> None:
        if not self._sender.ended.is_set():
            raise KafkaTimeoutError(f"records are left after {timeout} s")
        self.closed.set()


class Brokers:
    """A broker that is away, or there; counts who asks."""

    def __init__(self) -> None:
        self.attempts = 0
        self.made: list[Client] = []
        self.away = False
        self.answer = Event()
        self.answer.set()

    def connect(self, *_: object) -> KafkaPythonProducer:
        self.attempts += 1
        self.answer.wait(240)
        if self.away:
            raise BrokerUnavailable("away")
        self.made.append(Client())
        return KafkaPythonProducer(self.made[-1], BROKER)


@pytest.fixture
def brokers() -> Brokers:
    return Brokers()


def shared_on(brokers: Brokers, **settings: float) -> SharedProducer:
    return SharedProducer(BROKER, Settings.model_validate(settings), brokers.connect)


async def at_once(shared: SharedProducer, callers: int) -> list[Any]:
    waiting = (shared.connected() for _ in range(callers))
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_all_callers_share_one_producer(brokers: Brokers) -> None:
    shared = shared_on(brokers)
    assert len(set(await at_once(shared, 50))) == 1
    assert brokers.attempts == 1


async def test_all_callers_fail_with_the_one_attempt_and_the_next_one_tries_again(
    brokers: Brokers,
) -> None:
    brokers.away = True
    brokers.answer.clear()
    shared = shared_on(brokers)
    waiting = asyncio.create_task(at_once(shared, 50))
    await until(lambda: brokers.attempts > 0)
    brokers.answer.set()
    assert {type(error) for error in await waiting} == {BrokerUnavailable}
    assert brokers.attempts == 1
    brokers.away = False
    assert isinstance(await shared.connected(), KafkaPythonProducer)
    assert brokers.attempts == 2


async def test_nobody_waits_longer_than_a_delivery_may_take_for_an_attempt_that_hangs(
    brokers: Brokers,
) -> None:
    brokers.answer.clear()
    shared = shared_on(brokers, delivery_timeout_s=0.01)
    failed = await at_once(shared, 50)
    assert {type(error) for error in failed} == {BrokerUnavailable}
    await until(lambda: brokers.attempts > 0)  # the attempt's thread may begin late
    assert brokers.attempts == 1
    brokers.answer.set()
    assert isinstance(await connected_in_the_end(shared), KafkaPythonProducer)


async def connected_in_the_end(shared: SharedProducer) -> Any:
    while True:
        try:
            return await shared.connected()
        except BrokerUnavailable:
            continue


async def test_a_producer_that_is_discarded_ends_although_its_close_raises(
    brokers: Brokers,
) -> None:
    shared = shared_on(brokers)
    first = await shared.connected()
    shared.discard(first)
    assert await asyncio.to_thread(brokers.made[0].closed.wait, 240)
    second = await shared.connected()
    assert second is not first
    shared.discard(first)  # another publisher's, who found out later
    assert await shared.connected() is second


async def test_closing_ends_a_producer_whose_broker_is_away(brokers: Brokers) -> None:
    shared = shared_on(brokers)
    await shared.connected()
    await shared.close()
    assert brokers.made[0].closed.is_set()


async def test_a_connection_that_comes_after_the_close_is_closed(brokers: Brokers) -> None:
    brokers.answer.clear()
    shared = shared_on(brokers, delivery_timeout_s=0.01)
    with pytest.raises(BrokerUnavailable):
        await shared.connected()
    await shared.close()
    brokers.answer.set()
    await until(lambda: any(client.closed.is_set() for client in brokers.made))


class ClosingLock:
    """A lock after which the thread that connects closes the producer's owner."""

    def __init__(self, shared: SharedProducer) -> None:
        self._lock = Lock()
        self._shared = shared
        self._closed = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if current_thread().name == "producer-connect" and not self._closed:
            self._closed = True
            asyncio.run(self._shared.close())


async def test_a_connection_that_comes_during_the_close_is_closed(brokers: Brokers) -> None:
    shared = shared_on(brokers)
    shared._lock = ClosingLock(shared)  # type: ignore[assignment]  # it is only entered and left
    await shared.connected()
    await until(brokers.made[0].closed.is_set)

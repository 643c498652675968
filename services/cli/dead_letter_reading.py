"""Dead letters of a stack, read from its broker."""

import asyncio

from services.cli.parts import App
from services.contracts.events import DeadLettered
from services.runtime.broker import BrokerAddress
from services.runtime.dead_letters import read_dead_letters


async def dead_letters_of(app: App) -> list[DeadLettered]:
    """Every dead letter that the broker still has.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    broker = BrokerAddress.of(app.settings)
    return await asyncio.to_thread(lambda: list(read_dead_letters(broker, app.settings)))


async def dead_letter_count(app: App) -> int:
    """How many there are.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    broker = BrokerAddress.of(app.settings)
    return await asyncio.to_thread(lambda: sum(1 for _ in read_dead_letters(broker, app.settings)))

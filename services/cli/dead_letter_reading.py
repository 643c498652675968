"""Read a stack's dead letters from its broker."""

import asyncio

from services.app.parts import App
from services.domain.dead_letters import Letter
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import count_unsettled, read_letters


async def dead_letters_of(app: App) -> list[Letter]:
    """Every dead letter that the broker still retains, with its state.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    return await asyncio.to_thread(read_letters, BrokerAddress.of(app.settings), app.settings)


async def dead_letter_count(app: App) -> int:
    """The number of dead letters that are neither resolved nor discarded.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    return await asyncio.to_thread(count_unsettled, BrokerAddress.of(app.settings), app.settings)

from inspect import signature
from types import FunctionType

import pytest

from services.cli import dead_letters_command
from services.cli.work.dead_letters import LetterFilter
from services.contracts.identity import LetterId
from services.domain.dead_letters import TO_REPLAY, UNSETTLED, Letter, LetterState
from tests.unit.domain.test_dead_letters import failure

LETTERS = [Letter(LetterId(state.value), state, (failure(),)) for state in LetterState]


@pytest.mark.parametrize(
    ("command", "states"),
    [
        (dead_letters_command.list_letters, UNSETTLED),
        (dead_letters_command.replay, TO_REPLAY),
        (dead_letters_command.discard, UNSETTLED),
    ],
)
def test_a_command_takes_the_states_that_the_documentation_names(
    command: FunctionType, states: frozenset[LetterState]
) -> None:
    default = signature(command).parameters["state"].default
    assert {letter.state for letter in LetterFilter(state=default).of(LETTERS)} == states

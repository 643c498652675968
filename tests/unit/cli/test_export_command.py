from typing import get_args

from services.annotation.ports.needle_filters import Stage
from services.cli.export_command import (
    ErrorTypeName,
    FormatName,
    StageName,
    TrainingFormatName,
)
from services.contracts.events import ErrorType
from services.formats.writers.formats import Format


def test_the_options_are_those_that_the_code_behind_them_knows() -> None:
    assert get_args(FormatName) == tuple(Format)
    assert get_args(ErrorTypeName) == tuple(ErrorType)
    assert get_args(StageName) == tuple(Stage)
    assert set(get_args(TrainingFormatName)) < set(Format)

import pytest
from pydantic import ValidationError

from services.contracts.columns import Columns
from services.contracts.events import Strict


class Part(Columns):
    number: int

    def check(self) -> None:
        CHECKED.append(self.number)
        if self.number < 0:
            raise ValueError("less than nothing")


class Whole(Strict):
    part: Part


CHECKED: list[int] = []


def test_a_part_is_checked_when_it_is_made_and_not_again_in_an_event() -> None:
    CHECKED.clear()
    assert Whole(part=Part(number=1)).part.number == 1
    assert Whole.model_validate_json('{"part": {"number": 2}}').part.number == 2
    assert CHECKED == [1, 2]


def test_a_part_that_its_check_refuses_is_not_made() -> None:
    for text in ('{"part": {"number": -1}}', '{"part": {}}'):
        with pytest.raises(ValidationError):
            Whole.model_validate_json(text)

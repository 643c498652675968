"""Which changes of category maps are accepted, and what the audit log says of them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Category
from services.domain.ports.audit import AuditAct
from services.domain.ports.category_maps import MapScope
from services.formats.category_map_files import read_category_map
from services.ground_truth.category_changes import (
    CategoryChange,
    change_categories,
    parsed_names,
    parsed_scope,
)
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.category_maps import InMemoryCategoryMaps

AT = datetime(2026, 5, 4, tzinfo=UTC)
STOP, SIGN, CAR = Category("stop_sign"), Category("stop sign"), Category("car")


@pytest.mark.parametrize("text", ["", "@", "a@", "@1", "a b", "a@1@2", "x" * 81])
def test_a_scope_is_a_detector_or_one_version_of_it(text: str) -> None:
    assert parsed_scope("ods") == "ods"
    assert parsed_scope("ods@1.4") == "ods@1.4"
    with pytest.raises(InvalidRecord, match="neither NAME nor NAME@VERSION"):
        parsed_scope(text)


@pytest.mark.parametrize(
    "given", [{"": "a"}, {"a": ""}, {"a": " "}, {"a": 1}, {"a": "b\u200b"}, {"a": "x" * 101}]
)
def test_names_are_categories(given: dict[str, object]) -> None:
    with pytest.raises(InvalidRecord) as refused:
        parsed_names(given)
    assert refused.value.reason == "invalid_category"
    (name,) = given
    assert repr(name)[:50] in str(refused.value) or repr(given[name]) in str(refused.value)


def test_a_file_maps_and_ignores_names(tmp_path: Path) -> None:
    file = tmp_path / "categories.json"
    file.write_text('{"stop_sign": "stop sign", "car": null}')
    assert read_category_map(file) == {STOP: SIGN, CAR: None}
    for wrong, reason in (
        ('["a"]', "invalid_category"),
        ('{"a": 1}', "invalid_category"),
        ('{"a": "b", "a": "c"}', "duplicate_key"),
        ("{", "invalid_json"),
    ):
        file.write_text(wrong)
        with pytest.raises(InvalidRecord, match=str(file)) as refused:
            read_category_map(file)
        assert refused.value.reason == reason


async def test_a_change_is_audited_and_a_repeat_is_not() -> None:
    maps, audit = InMemoryCategoryMaps(), InMemoryAuditLog()
    change = CategoryChange(MapScope("ods"), {STOP: SIGN, CAR: None})
    assert await change_categories(change, maps, audit, "ada", AT)
    assert not await change_categories(change, maps, audit, "ada", AT)
    dropping = CategoryChange(MapScope("ods"), dropped=[CAR])
    assert await change_categories(dropping, maps, audit, "ben", AT)
    assert [(record.act, record.by, record.on, record.details) for record in audit.records] == [
        (AuditAct.CATEGORIES, "ada", "ods", {"car": "ignored", "stop_sign": "stop sign"}),
        (AuditAct.CATEGORIES, "ben", "ods", {"car": "unmapped"}),
    ]

"""`gazeloop doctor --bounds` lists what the code lets grow, and nothing else."""

import re
from pathlib import Path

import services
from services.app.doctor.bounds import BOUNDS, settings_of
from services.contracts.topics import TOPICS
from services.runtime.settings import Settings
from services.runtime.stores.migration import OLD_FRAMES, OLD_MATCHES
from services.runtime.stores.tokens_mongo import TOKENS
from services.runtime.stores.tombstones_mongo import TOMBSTONES

_LITERAL = re.compile(r'(?:database|self\._database)\["(\w+)"\]')
_BOUNDING = re.compile(r"_bytes$|^retain_|^retention_|^topic_retention_|^budget_per_|_pixels$")


def _listed(part: str) -> set[str]:
    return {name for item in BOUNDS if item.part == part for name in item.names}


def test_every_collection_has_a_bound() -> None:
    sources = Path(services.__file__).parent.rglob("*.py")
    spelled = {name for path in sources for name in _LITERAL.findall(path.read_text())}
    named = {TOKENS, TOMBSTONES, OLD_FRAMES, OLD_MATCHES, "migration", "schemas", "stores"}
    assert _listed("mongodb") == spelled | named


def test_every_topic_has_a_bound() -> None:
    assert _listed("kafka") == {topic.name for topic in TOPICS}


def test_every_setting_that_bounds_something_is_named() -> None:
    named = {name for item in BOUNDS for name in item.settings}
    assert {name for name in Settings.model_fields if _BOUNDING.search(name)} <= named


def test_the_values_are_those_of_the_settings() -> None:
    settings = Settings(retain_figures_days=3)
    (figures,) = [item for item in BOUNDS if item.names == ("figures",)]
    assert settings_of(figures, settings) == {"retain_figures_days": 3}

"""Every setting, its unit and its default. Read once by the command line, then handed down."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import ValidationInfo, field_validator

from services.runtime.setting_groups.connections import HttpSettings, StoreSettings
from services.runtime.setting_groups.delivery import (
    DeliverySettings,
    FrameSettings,
    RetentionSettings,
    TopicSettings,
)
from services.runtime.setting_groups.group import Masked, SettingGroup, parts_of
from services.runtime.setting_groups.integrations import (
    BridgeSettings,
    CvatSettings,
    LabelStudioSettings,
    WebhookSettings,
)
from services.runtime.setting_groups.mining import (
    EmbeddingSettings,
    MatchingSettings,
    SplitSettings,
)
from services.runtime.setting_groups.reporting import EvaluatorSettings, LogSettings
from services.runtime.setting_groups.review import RedactionSettings, ReviewSettings
from services.runtime.setting_groups.shortlists import FamilySettings, ShortlistSettings


class Settings(
    # Pydantic takes the fields of the last base first, and so they are listed and validated.
    LabelStudioSettings,
    BridgeSettings,
    WebhookSettings,
    CvatSettings,
    ReviewSettings,
    RedactionSettings,
    LogSettings,
    EvaluatorSettings,
    FamilySettings,
    ShortlistSettings,
    EmbeddingSettings,
    MatchingSettings,
    SplitSettings,
    DeliverySettings,
    RetentionSettings,
    TopicSettings,
    FrameSettings,
    HttpSettings,
    StoreSettings,
):
    """All of Gazeloop's settings; docs/settings.md is generated from the descriptions.

    A group checks its own settings; what depends on several groups is checked here.
    """

    @field_validator("mine_misses")
    @classmethod
    def _misses_can_be_written(cls, mined: bool, info: ValidationInfo) -> bool:
        """Refuse misses where version 1 is written, which would drop them."""
        if mined and info.data.get("event_version") == 1:
            raise ValueError("misses need GAZELOOP_EVENT_VERSION=2")
        return mined

    @field_validator("shortlist_strategy")
    @classmethod
    def _misses_are_mined(cls, strategy: str, info: ValidationInfo) -> str:
        """Refuse to list for misses where there are none."""
        # Absent where it is wrong itself.
        if strategy == "missed-objects" and info.data.get("mine_misses") is False:
            raise ValueError("missed-objects needs GAZELOOP_MINE_MISSES=true")
        return strategy

    @field_validator("sampled_share")
    @classmethod
    def _draws_can_be_written(cls, share: float, info: ValidationInfo) -> float:
        """Refuse draws where version 1 is written, which would drop their probabilities."""
        if share and info.data.get("event_version") == 1:
            raise ValueError("drawn frames need GAZELOOP_EVENT_VERSION=2")
        return share

    @property
    def hosts(self) -> list[str]:
        """Accepted host names, in addition to loopback's and the server's own address."""
        public = (urlsplit(url).hostname for url in (self.public_url, self.review_url))
        return [*parts_of(self.allowed_hosts), *(name for name in public if name)]


def groups_of_settings() -> Iterator[tuple[str, str]]:
    """Every setting's name with the title of its group, in the order of the settings."""
    for group in reversed(Settings.__bases__):
        assert issubclass(group, SettingGroup)
        for name in group.model_fields:
            yield name, group.title


def masked(name: str, text: str) -> str:
    """A setting's value without the keys that it may contain; names of other versions may come."""
    field = Settings.model_fields.get(name)
    for mark in field.metadata if field else ():
        if isinstance(mark, Masked):
            text = mark.masked(text)
    return text

"""What every group of settings is made of."""

from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _without_password(url: str) -> str:
    """Refuse passwords, because logs, errors and `gazeloop settings` show URLs."""
    if urlsplit(url).password is not None:
        raise ValueError(
            "a password in a URL would be shown; take it out, and set"
            " GAZELOOP_MONGODB_PASSWORD, GAZELOOP_QDRANT_API_KEY or the driver's own variable"
        )
    return url


Share = Annotated[float, Field(gt=0, lt=1)]
Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Days = Annotated[float, Field(gt=0)]
DaysOrForever = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
Url = Annotated[str, AfterValidator(_without_password)]

PREFIX = "GAZELOOP_"


class SettingGroup(BaseSettings):
    """Settings that are listed together.

    Attributes
    ----------
    title : heading in `gazeloop settings` and in docs/settings.md
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may be a secret, and tracebacks show it
    )
    title: ClassVar[str]


def parts_of(listed: str) -> list[str]:
    """The parts of `part,…`."""
    return [part.strip() for part in listed.split(",") if part.strip()]


def numbers_of(listed: str) -> dict[str, float]:
    """The numbers in `name=number,…`."""
    pairs = (part.partition("=") for part in parts_of(listed))
    return {name.strip(): float(number) for name, _, number in pairs}

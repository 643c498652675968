"""What every group of settings is made of."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
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
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, allow_inf_nan=False)]
DaysOrForever = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
Url = Annotated[str, AfterValidator(_without_password)]


@dataclass(frozen=True)
class Masked:
    """Marks a setting whose value may contain a key, and how it is shown without it."""

    masked: Callable[[str], str]


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


def quoted_parts_of(listed: str) -> list[str]:
    """The parts of `part,…`, of which one with a comma is quoted, as in CSV.

    Raises
    ------
    ValueError
        A quote has no end, or no part has a name.
    """
    if not listed:
        return []
    try:
        (parts,) = csv.reader([listed], skipinitialspace=True, strict=True)
    except csv.Error as exc:
        raise ValueError(str(exc)) from exc
    named = [part.strip() for part in parts if part.strip()]
    if not named:
        raise ValueError("names nothing")
    return named


def numbers_of(listed: str) -> dict[str, float]:
    """The numbers in `name=number,…`.

    Raises
    ------
    ValueError
        A name is there twice, or what follows it is no finite number.
    """
    numbers: dict[str, float] = {}
    for part in parts_of(listed):
        name, _, text = map(str.strip, part.partition("="))
        number = float(text)
        if name in numbers or not isfinite(number):
            raise ValueError(f"{part!r:.200}: a name has one finite number")
        numbers[name] = number
    return numbers

"""The options before the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer


@dataclass(frozen=True)
class GlobalOptions:
    """The parsed global options.

    Attributes
    ----------
    data : the data folder, if one was named
    overrides : settings of this call, by name
    """

    data: Path | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    debug: bool = False


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Settings by name, from an option's `NAME=VALUE` strings.

    Raises
    ------
    typer.BadParameter
        One has no `=`.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        found[name.strip().lower().removeprefix("gazeloop_")] = value
    return found

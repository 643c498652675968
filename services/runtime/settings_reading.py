"""Read the settings, and explain names that are none.

A setting comes from the environment as `GAZELOOP_<NAME>`, or from a file in the directory that
`GAZELOOP_SECRETS_DIR` names, whose file name is the variable's.
"""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from pydantic import ValidationError

from services.contracts.errors import InvalidSettings
from services.runtime.setting_groups.group import PREFIX
from services.runtime.settings import Settings

_EXTRA = "extra_forbidden"
"""pydantic's name for a value that no field takes."""
_NEARLY = 0.85
"""Least similarity by difflib: about one letter missing, added or exchanged."""


def load_settings(**overrides: object) -> Settings:
    """Settings from `overrides`, then secrets and environment, then the defaults.

    Raises
    ------
    InvalidSettings
        A value breaks its bounds, or a setting is unknown.
    """
    secrets = os.environ.get("GAZELOOP_SECRETS_DIR")
    try:
        return Settings(_secrets_dir=secrets, **overrides)  # type: ignore[arg-type]  # pydantic checks
    except ValidationError as exc:
        lines = [
            f"{_variable(name)}: {_unknown(name) if error['type'] == _EXTRA else error['msg']}"
            for error in exc.errors(include_input=False)
            for name in ["_".join(str(part) for part in error["loc"])]
        ]
        raise InvalidSettings("; ".join(lines)) from exc


def misspelt(environment: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Variables whose names nearly match a setting, each with the setting that it may mean.

    Other variables with the same prefix are legitimate: Kubernetes sets some for every service.
    """
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in Settings.model_fields:
            for closest in get_close_matches(name, Settings.model_fields, n=1, cutoff=_NEARLY):
                yield variable, _variable(closest)


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _unknown(name: str) -> str:
    """Message for an unknown setting, with the setting that it may mean."""
    closest = get_close_matches(name, Settings.model_fields, n=1)
    return "no such setting" + (f"; is {_variable(closest[0])} meant?" if closest else "")

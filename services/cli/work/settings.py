"""What `gazeloop settings` does."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import typer
from pydantic import SecretStr
from rich.table import Table

from services.cli.console import console
from services.cli.context import shared
from services.runtime.settings import Settings
from services.runtime.settings_reading import misspelt


class SettingLine(NamedTuple):
    """A setting's line in the table."""

    variable: str
    default: str
    meaning: str


def setting_lines() -> Iterator[SettingLine]:
    """Every setting, in the order of the settings module."""
    for name, field in Settings.model_fields.items():
        yield SettingLine(
            variable=f"GAZELOOP_{name.upper()}",
            default=_shown(field.default),
            meaning=field.description or "",
        )


def markdown_table() -> str:
    """The table in docs/settings.md."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for line in setting_lines():
        default = f"`{line.default}`" if line.default else "(empty)"
        meaning = line.meaning.replace("|", "\\|")
        rows.append(f"| `{line.variable}` | {default} | {meaning} |")
    return "\n".join(rows)


def settings(ctx: typer.Context, markdown: bool) -> None:
    """Run `gazeloop settings`."""
    if markdown:
        print(markdown_table())  # noqa: T201  # to be piped into a file
        return

    now = shared(ctx).settings()
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for title in ("variable", "value", "default", "meaning"):
        table.add_column(title, overflow="fold")
    for name, line in zip(type(now).model_fields, setting_lines(), strict=True):
        value = _value(now, name)
        style = "green" if name in now.model_fields_set else ""
        table.add_row(
            line.variable, f"[{style}]{value}[/]" if style else value, line.default, line.meaning
        )
    out = console()
    out.print(table)
    for variable, meant in misspelt(os.environ):
        out.print(f"[yellow]{variable} is set but unknown; did you mean {meant}?[/]")


def _value(now: Settings, name: str) -> str:
    return _shown(getattr(now, name))


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    return "" if value is None else str(value)

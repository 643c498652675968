"""What `gazeloop settings` does."""

import os
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import typer
from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from services.cli.console import console, print_json
from services.cli.context import shared
from services.runtime.settings import Settings, groups_of_settings, masked
from services.runtime.settings_reading import misspelt


class SettingLine(NamedTuple):
    """A setting's line in the table."""

    group: str
    variable: str
    default: str
    meaning: str


def setting_lines() -> Iterator[SettingLine]:
    """Every setting, in the order of the settings module."""
    for name, group in groups_of_settings():
        field = Settings.model_fields[name]
        yield SettingLine(
            group=group,
            variable=f"GAZELOOP_{name.upper()}",
            default=_shown(field.default),
            meaning=field.description or "",
        )


def markdown_tables() -> str:
    """The tables in docs/settings.md, one for each group."""
    rows = []
    for group, lines in groupby(setting_lines(), attrgetter("group")):
        rows += ["", f"## {group}", "", "| variable | default | meaning |", "|---|---|---|"]
        for line in lines:
            default = f"`{line.default}`" if line.default else "(empty)"
            meaning = line.meaning.replace("|", "\\|")
            rows.append(f"| `{line.variable}` | {default} | {meaning} |")
    return "\n".join(rows)


def settings(ctx: typer.Context, text: str | None, *, as_json: bool, markdown: bool) -> None:
    """Run `gazeloop settings`."""
    if markdown:
        print(markdown_tables())  # noqa: T201  # to be piped into a file
        return

    now = shared(ctx).settings()
    chosen = {
        name: line
        for name, line in zip(type(now).model_fields, setting_lines(), strict=True)
        if text is None or text.lower() in f"{line.group} {line.variable} {line.meaning}".lower()
    }
    if as_json:
        print_json([_document(now, name, line) for name, line in chosen.items()])
    elif chosen:
        console().print(_table(now, chosen))
    else:
        console(stderr=True).print(f"No setting has {text!r} in its name, meaning or group.")
    for variable, setting in misspelt(os.environ):
        text = f"{variable} is set but unknown; did you mean {setting}?"
        console(stderr=True).print(text, style="yellow")


def _document(now: Settings, name: str, line: SettingLine) -> dict[str, object]:
    return {
        "group": line.group,
        "variable": line.variable,
        "value": _value(now, name),
        "default": line.default,
        "is_set": name in now.model_fields_set,
        "meaning": line.meaning,
    }


def _table(now: Settings, lines: Mapping[str, SettingLine]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for title in ("variable", "value", "default", "meaning"):
        table.add_column(title, overflow="fold")
    shown = ""
    for name, line in lines.items():
        if line.group != shown:
            shown = line.group
            table.add_row(Text(shown, style="dim"))
        style = "green" if name in now.model_fields_set else ""
        table.add_row(
            line.variable,
            Text(_value(now, name), style=style),
            line.default,
            line.meaning,
        )
    return table


def _value(now: Settings, name: str) -> str:
    return masked(name, _shown(getattr(now, name)))


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    return "" if value is None else str(value)

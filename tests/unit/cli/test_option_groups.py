from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from services.cli.option_groups import with_option_groups


@dataclass(frozen=True)
class _Size:
    width: Annotated[int, typer.Option("--width", help="Columns.")]
    height: Annotated[int, typer.Option("--height", min=1, help="Rows.")] = 3

    def __post_init__(self) -> None:
        if self.width == self.height:
            raise typer.BadParameter("it is a square", param_hint="--width")


app = typer.Typer()


@app.command()
@with_option_groups
def draw(ctx: typer.Context, name: str, *, size: _Size, bold: bool = False) -> None:
    """Draw a rectangle."""
    typer.echo(f"{ctx.info_name} {name} {size.width}x{size.height} {bold}")


def test_the_fields_of_a_group_are_options_of_the_command() -> None:
    result = CliRunner().invoke(app, ["box", "--width", "5", "--bold"])
    assert result.output == "draw box 5x3 True\n"


@pytest.mark.parametrize(
    "options", [[], ["--width", "x"], ["--width", "5", "--height", "0"], ["--width", "3"]]
)
def test_what_a_group_refuses_is_wrong_usage(options: list[str]) -> None:
    assert CliRunner().invoke(app, ["box", *options]).exit_code == 2


def test_the_help_lists_the_fields_where_the_group_stands() -> None:
    output = CliRunner(env={"TERM": "dumb"}).invoke(app, ["--help"]).output
    assert output.index("--width") < output.index("--height") < output.index("--bold")
    assert "Draw a rectangle." in output

"""The option that selects the frames of a slice."""

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class TagOptions:
    """Selects frames that have all of these tags, their own or derived ones.

    Raises
    ------
    typer.BadParameter
        One is not KEY=VALUE.
    """

    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="KEY=VALUE",
            help="Only frames with this tag, such as weather=rain or daylight=night; repeat it for"
            " frames with several.",
        ),
    ] = None

    def __post_init__(self) -> None:
        for item in self.tag or ():
            if item.find("=") < 1:
                raise typer.BadParameter(f"{item!r} is not KEY=VALUE", param_hint="--tag")

    def tags(self) -> frozenset[tuple[str, str]]:
        """The tags that a frame must have."""
        pairs = (item.partition("=") for item in self.tag or ())
        return frozenset((key, value) for key, _, value in pairs)

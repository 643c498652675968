"""Print the status of a stack as a table."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.app.status import Status
from services.contracts.flow import service_of_group


def print_status(out: Console, found: Status) -> None:
    """Print what runs, each service's replicas and lag, and the number of dead letters."""
    if not found.runs:
        out.print(Text(f"Nothing runs on {found.data}. `gazeloop up` starts it."))
        return
    out.print(Text(f"broker {found.kafka}, MongoDB {found.mongodb}"))
    out.print(_services(found))
    style = "red" if found.dead_letters else ""
    out.print(Text(f"dead letters: {found.dead_letters:,}", style=style))


def _services(found: Status) -> Table:
    table = Table(box=None, header_style="dim")
    for title in ("service", "replicas", "topic", "lag"):
        table.add_column(title, justify="right" if title in ("replicas", "lag") else "left")
    for (group, topic), lag in found.lag.items():
        members = found.members.get(group)
        count = Text("?" if members is None else str(members), style="" if members else "red")
        shown = "?" if lag is None else f"{lag:,}"
        style = "red" if lag is None else "yellow" * bool(lag)
        table.add_row(service_of_group(group), count, topic, Text(shown, style=style))
    return table

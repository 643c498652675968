"""What `gazeloop report` does."""

import typer

from services.app.reporting import read_reports
from services.cli import report_view
from services.cli.console import console, styled
from services.cli.context import Context, run, shared
from services.cli.dead_letter_reading import dead_letter_count
from services.cli.work.opened import opened
from services.evaluator.reports.report import Report


def report(ctx: typer.Context, *, as_json: bool, detector: str | None) -> None:
    """Run `gazeloop report`."""
    context = shared(ctx)
    found = run(lambda: _reports(context), interrupted="The report was not printed.")
    chosen = [item for item in found if detector in (None, item.detector)]
    if not chosen:
        known = ", ".join(item.detector for item in found) or "none yet"
        text = styled(
            "[bold red]Error:[/] no frame has both predictions and ground truth{}; detectors: {}.\n"
            "[dim]`gazeloop mine` or `gazeloop ingest` publishes them; `gazeloop status` shows"
            " whether the services have caught up.[/]",
            f" for {detector}" if detector else "",
            known,
        )
        console(stderr=True).print(text)
        raise typer.Exit(1)

    if as_json:
        print(report_view.as_json(chosen))  # noqa: T201  # to be piped
        return
    for item in chosen:
        report_view.print_report(console(), item)


async def _reports(context: Context) -> list[Report]:
    async with opened(context.stored(), "report") as app:
        return await read_reports(app, await dead_letter_count(app))

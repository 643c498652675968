"""Writes the dashboards as Grafana reads them: `python -m deploy.grafana.generate`.

Needs the package grafana-foundation-sdk, which is among the development requirements.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.boards import BOARDS
from deploy.grafana.charts import Board, Chart, Query, Shape

FOLDER = Path(__file__).parent / "dashboards"
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT = 8
_TAG = "gazeloop"


def rendered(board: Board) -> str:
    """The dashboard's JSON."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([_TAG])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(_to_the_others())
        .link(_to_the_review_page())
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for label, series in board.labels.items():
        builder = builder.with_variable(_chosen_by(label, series))
    builder = builder.with_variable(
        dashboard.TextBoxVariable("review")
        .label("Review page")
        .description("Where the review page is served.")
        .default_value("http://localhost:8001/review")
    )
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for chart in row.charts:
            builder = builder.with_panel(_panel(chart))
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _to_the_others() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Gazeloop")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .keep_time(keep_time=True)
        .include_vars(include_vars=True)
    )


def _to_the_review_page() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Review page")
        .type(DashboardLinkType.LINK)
        .url("${review}/")
        .target_blank(target_blank=True)
    )


def _chosen_by(label: str, series: str) -> dashboard.QueryVariable:
    where = 'job="gazeloop"' if series == "up" else 'environment=~"$environment"'
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(_SOURCE)
        .query(f"label_values({series}{{{where}}}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
    )


def _panel(chart: Chart) -> timeseries.Panel | stat.Panel:
    panel: timeseries.Panel | stat.Panel
    if chart.shape is Shape.NUMBER:
        panel = stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        legend = common.VizLegendOptions().show_legend(show_legend=True).calcs(["lastNotNull"])
        panel = (
            timeseries.Panel()
            .fill_opacity(10)
            .show_points(options.VisibilityMode.NEVER)
            .legend(legend.placement(options.LegendPlacement.BOTTOM))
        )
    panel = (
        panel.id(chart.panel)
        .title(chart.title)
        .description(chart.about)
        .datasource(_SOURCE)
        .unit(chart.unit)
        .thresholds(_thresholds(chart))
        .height(_HEIGHT)
        .span(chart.width)
    )
    for number, query in enumerate(chart.queries):
        panel = panel.with_target(_target(query, chr(ord("A") + number)))
    return panel


def _target(query: Query, name: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(name)


def _thresholds(chart: Chart) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if chart.good_above is not None:
        steps = [Threshold(value=None, color="red"), Threshold(chart.good_above, "green")]
    if chart.warn is not None:
        steps.append(Threshold(chart.warn, "yellow"))
    if chart.bad is not None:
        steps.append(Threshold(chart.bad, "red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def main() -> None:
    """Write all dashboards."""
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.uid}.json").write_text(rendered(board))


if __name__ == "__main__":
    main()

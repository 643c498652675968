"""Writes the dashboards as Grafana reads them: `python -m deploy.grafana.generate`.

Needs the package grafana-foundation-sdk, which is among the development requirements.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.boards import BOARDS
from deploy.grafana.charts import (
    CHANGES,
    PRECISION,
    PRECISION_DECIMALS,
    Board,
    Chart,
    PageLink,
    Query,
    Shape,
)

FOLDER = Path(__file__).parent / "dashboards"
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT = 8
_TAG = "gazeloop"
_HIDDEN_COLUMNS = DataTransformerConfig(
    id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": {"Value": "value"}}
)
Panel = timeseries.Panel | stat.Panel | table.Panel | heatmap.Panel


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
        .description("Where the review page is served: by compose on port 8001, by `up` on 8000.")
        .default_value("http://localhost:8001/review")
    )
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for chart in row.charts:
            builder = builder.with_panel(_panel(chart))
    for change in CHANGES:
        builder = builder.annotation(
            dashboard.AnnotationQuery()
            .name(change.name)
            .datasource(_SOURCE)
            .icon_color("blue")
            .expr(change.expression)
        )
    built = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    for change, annotation in zip(CHANGES, built["annotations"]["list"], strict=True):
        # The library has no fields for these.
        annotation |= {"titleFormat": change.name, "textFormat": f"{{{{{change.label}}}}}"}
    return json.dumps(built, indent=2, sort_keys=True) + "\n"


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


def _panel(chart: Chart) -> Panel:
    panel = (
        _shaped(chart)
        .id(chart.panel)
        .title(chart.title)
        .description(chart.about)
        .datasource(_SOURCE)
        .unit(chart.unit)
        .thresholds(_thresholds(chart))
        .height(_HEIGHT)
        .span(chart.width)
    )
    if chart.unit == PRECISION:
        panel = panel.decimals(PRECISION_DECIMALS)
    if chart.meanings:
        panel = panel.mappings([_mapping(chart.meanings)])
    if chart.link is not None:
        panel = panel.data_links([_to_review(chart.link)])
    for number, query in enumerate(chart.queries):
        panel = panel.with_target(_target(query, chr(ord("A") + number), chart.shape))
    return panel


def _shaped(chart: Chart) -> Panel:
    match chart.shape:
        case Shape.NUMBER:
            latest = common.ReduceDataOptions().calcs(["lastNotNull"])
            return stat.Panel().reduce_options(latest)
        case Shape.TABLE:
            return table.Panel().with_transformation(_HIDDEN_COLUMNS)
        case Shape.HEATMAP:
            return heatmap.Panel()
        case Shape.LINES:
            legend = common.VizLegendOptions().show_legend(show_legend=True).calcs(["lastNotNull"])
            return (
                timeseries.Panel()
                .fill_opacity(10)
                .show_points(options.VisibilityMode.NEVER)
                .legend(legend.placement(options.LegendPlacement.BOTTOM))
            )


def _mapping(meanings: Mapping[int, str]) -> ValueMap:
    return ValueMap({str(value): ValueMappingResult(text=text) for value, text in meanings.items()})


def _to_review(link: PageLink) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(link.title)
        .url(f"${{review}}{link.path}")
        .target_blank(target_blank=True)
    )


def _target(query: Query, name: str, shape: Shape) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(name)
    if shape is Shape.TABLE:
        return target.format(PromQueryFormat.TABLE).instant()
    return target.format(PromQueryFormat.HEATMAP) if shape is Shape.HEATMAP else target


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

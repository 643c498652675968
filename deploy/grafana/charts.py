"""What a dashboard says, without Grafana's words for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PRECISION = "none"
"""The unit of average precision, which has three decimals everywhere, as pycocotools prints it."""
PRECISION_DECIMALS = 3


class Shape(StrEnum):
    """How a chart is drawn."""

    LINES = "timeseries"
    NUMBER = "stat"
    TABLE = "table"
    """The latest values, a row per series, with its labels as columns."""
    HEATMAP = "heatmap"
    """A histogram over time; the query's series are its buckets."""


@dataclass(frozen=True)
class Query:
    """One PromQL expression, and how its series are called."""

    expression: str
    legend: str


@dataclass(frozen=True)
class PageLink:
    """A link from a series to the review page.

    Attributes
    ----------
    path : below the page's root; `${__field.labels.NAME}` is a label of the series
    """

    title: str
    path: str


@dataclass(frozen=True)
class Change:
    """A mark on all charts where a label has a value that it did not have five minutes before.

    Attributes
    ----------
    name : what the mark is called, above the value
    series : a series with the label
    """

    name: str
    series: str
    label: str

    @property
    def expression(self) -> str:
        """PromQL: the new values."""
        series = f'{self.series}{{environment=~"$environment"}}'
        now, before = (
            f"count by ({self.label}) ({part})" for part in (series, f"{series} offset 5m")
        )
        return f"{now} unless {before}"


CHANGES = (
    Change("Detector version", "gazeloop_evaluated_frames", "detector"),
    Change("Embedding model", "gazeloop_embedded_frames_total", "model"),
)


@dataclass(frozen=True)
class Chart:
    """One panel.

    Attributes
    ----------
    panel : its number on the dashboard; alerts lead to it, so it never changes
    about : what one sees, and what would be wrong
    unit : Grafana's name of the unit
    meanings : text in place of a value
    link : from each series to the review page
    warn, bad : from where on it is yellow and red; below `good_above`, where that is set, it is red
    """

    panel: int
    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    shape: Shape = Shape.LINES
    warn: float | None = None
    bad: float | None = None
    good_above: float | None = None
    width: int = 8
    meanings: Mapping[int, str] = field(default_factory=dict)
    link: PageLink | None = None


@dataclass(frozen=True)
class Row:
    """Charts under one heading."""

    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Board:
    """One dashboard.

    Attributes
    ----------
    uid : what alerts and links call it
    labels : labels that a reader chooses by, with the series that knows their values
    """

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    labels: dict[str, str] = field(default_factory=dict)

"""Charts of precision, recall and F1, whose axes are from 0 to 1, as SVG coordinates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.domain.metrics.operating_point import OperatingPoint

WIDTH, HEIGHT = 520.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 14.0, 10.0, 40.0
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_EVERY = 5
"""Of 101 points, how many steps are between those that link to frames."""


@dataclass(frozen=True)
class Curve:
    """A named curve; `path` is empty where it has no values."""

    name: str
    path: str


@dataclass(frozen=True)
class Place:
    """A point of a chart, and its score."""

    x: float
    y: float
    score: float


@dataclass(frozen=True)
class ScoreChart:
    """A chart as the template draws it.

    Attributes
    ----------
    chosen : the points of the chosen score
    links : points that lead to their score
    """

    title: str
    x_title: str
    y_title: str
    curves: Sequence[Curve]
    chosen: Sequence[Place]
    links: Sequence[Place] = ()

    @property
    def ticks(self) -> list[tuple[float, float, str]]:
        """A tick's position on the horizontal and on the vertical axis, and its label."""
        return [(_x(tick), _y(tick), f"{tick:.1f}") for tick in _TICKS]


def precision_recall_chart(points: Sequence[OperatingPoint], chosen: int) -> ScoreChart:
    """Precision against recall, for these scores."""
    known = [
        (k, _x(point.recall), _y(point.precision), point.score)
        for k, point in enumerate(points)
        if point.recall is not None and point.precision is not None
    ]
    places = {k: Place(x, y, score) for k, x, y, score in known}
    curve = Curve("precision", _path([(place.x, place.y) for place in places.values()]))
    links = [place for k, place in places.items() if k % _EVERY == 0]
    return ScoreChart(
        "Precision and recall",
        "recall",
        "precision",
        [curve],
        [places[chosen]] if chosen in places else [],
        links,
    )


def threshold_chart(points: Sequence[OperatingPoint], chosen: int) -> ScoreChart:
    """Precision, recall and F1 against the least score that is shown."""
    figures: list[tuple[str, Callable[[OperatingPoint], float | None]]] = [
        ("F1", lambda point: point.f1),
        ("precision", lambda point: point.precision),
        ("recall", lambda point: point.recall),
    ]
    curves = [
        Curve(
            name,
            _path([(_x(p.score), _y(value)) for p in points if (value := read(p)) is not None]),
        )
        for name, read in figures
    ]
    at = points[chosen]
    marks = [
        Place(_x(at.score), _y(value), at.score)
        for _, read in figures
        if (value := read(at)) is not None
    ]
    return ScoreChart("F1 by score", "least score shown", "", curves, marks)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x:g} {y:g}" for x, y in points) if len(points) > 1 else ""


def _x(share: float) -> float:
    return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

"""Speed against quality, one point per embedder and search, as SVG."""

import math
from collections.abc import Sequence
from html import escape

from services.benchmark.results import Row

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 920, 520, 64, 230, 40, 48
_COLOURS = ("#0b6e4f", "#c8553d", "#2f4b99", "#b8860b", "#7a3b8f", "#3a8fb7", "#555555", "#a61e4d")
_SHAPES = "●■▲◆▼★✚✖"


def plot(found: Sequence[Row]) -> str:
    """Plot the first level; colours are embedders, shapes are searches.

    Parameters
    ----------
    found : from `rows`
    """
    shown = [row for row in found if row["level"] == found[0]["level"]]
    models = list(dict.fromkeys(str(row["model"]) for row in shown))
    searches = list(dict.fromkeys(str(row["search"]) for row in shown))
    speeds = [math.log10(float(row["queries_per_s"])) for row in shown]
    first, last = math.floor(min(speeds)), math.ceil(max(speeds) + 1e-9)
    best = min(1.0, math.ceil(max(float(row["P@1"]) for row in shown) * 10 + 0.5) / 10)
    parts = [*_axes(first, last, best)]
    for row, speed in zip(shown, speeds, strict=True):
        x = _across((speed - first) / (last - first))
        y = _up(float(row["P@1"]) / best)
        colour = _COLOURS[models.index(str(row["model"])) % len(_COLOURS)]
        shape = _SHAPES[searches.index(str(row["search"])) % len(_SHAPES)]
        title = f"{row['model']}, {row['search']}: P@1 {row['P@1']}, {row['queries_per_s']}/s"
        parts.append(
            f'<text x="{x:.1f}" y="{y + 5:.1f}" fill="{colour}" text-anchor="middle"'
            f' font-size="15">{shape}<title>{escape(title)}</title></text>'
        )
    parts += _legend(models, searches)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _across(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _up(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(first: int, last: int, best: float) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="22" font-size="14">P@1 by queries per second</text>']
    for power in range(first, last + 1):
        x = _across((power - first) / (last - first))
        parts.append(_line(x, _up(0), x, _up(1)))
        label = f"{10**power:,}" if power >= 0 else f"{10**power:g}"
        parts.append(f'<text x="{x:.1f}" y="{_up(0) + 18:.1f}" text-anchor="middle">{label}</text>')
    for tenth in range(round(best * 10) + 1):
        y = _up(tenth / 10 / best)
        parts.append(_line(_across(0), y, _across(1), y))
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth / 10}</text>')
    return parts


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="#ddd"/>'


def _legend(models: Sequence[str], searches: Sequence[str]) -> list[str]:
    x, y = _WIDTH - _RIGHT + 20, _TOP + 6
    parts = []
    for place, name in enumerate(models):
        colour = _COLOURS[place % len(_COLOURS)]
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">■ {escape(name)}</text>')
        y += 18
    y += 10
    for place, name in enumerate(searches):
        shape = _SHAPES[place % len(_SHAPES)]
        parts.append(f'<text x="{x}" y="{y}" fill="#333">{shape} {escape(name)}</text>')
        y += 18
    return parts

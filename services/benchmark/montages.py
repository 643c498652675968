"""Montages of a query and its ten best results."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from services.contracts.errors import InvalidSettings
from services.contracts.identity import Box
from services.embedder.training.labelled import Example
from services.runtime.montage import MAX_TILES, Tile, montage


def chosen_queries(
    names: Sequence[str], count: int, examples: Sequence[Example], queries: NDArray[np.int64]
) -> list[int]:
    """Rows of the queries to draw: the first of each named frame, else evenly spread ones.

    Raises
    ------
    InvalidSettings
        No query is on a named frame.
    """
    if not names:
        rows = np.linspace(0, len(queries) - 1, min(count, len(queries))).round()
        return [int(row) for row in rows]
    found = []
    for name in names:
        row = next(
            (
                row
                for row, query in enumerate(queries.tolist())
                if name in {examples[query].name, examples[query].frame.frame_id}
            ),
            None,
        )
        if row is None:
            raise InvalidSettings(f"no query is on a frame {name!r}")
        found.append(row)
    return found


def drawn(title: str, query: Example, found: Sequence[Example]) -> bytes:
    """A PNG with the query on the left and the results on the right."""
    left = _tile(query, (f"query: {query.label}", query.frame.frame_id), None)
    tiles = [
        _tile(
            example,
            (f"{place}. {example.label}", example.frame.frame_id),
            example.label != query.label,
        )
        for place, example in enumerate(found[:MAX_TILES], start=1)
    ]
    content = BytesIO()
    montage(title, left, tiles).save(content, "PNG")
    return content.getvalue()


def _tile(example: Example, caption: tuple[str, ...], wrong: bool | None) -> Tile:
    image = example.frame.read()
    whole: Box = (0.0, 0.0, float(image.width), float(image.height))
    return Tile(image, example.box or whole, (), (), caption, wrong)

"""Columns say what the matches say, however they are made."""

import numpy as np

from services.contracts.identity import Category
from services.contracts.matches import CategoryMatched, categories_of
from services.domain.metrics.match_columns import NamedColumns, Names
from tests import samples
from tests.unit.domain import oracle


def some_matches(seed: int = 3) -> list[CategoryMatched]:
    frames = oracle.random_frames(seed, 6)
    return [
        match
        for k, frame in enumerate(frames)
        for match in oracle.matched(frame, vehicle=f"v{k % 2}")
    ]


def spelled(columns: NamedColumns) -> list[tuple[object, ...]]:
    """Every match with all its columns, in the order of names."""
    cells = columns.cells
    return sorted(
        (
            *(columns.detector[k], columns.category[k], columns.frame_id[k], columns.vehicle_id[k]),
            *(column[k] for column in (cells.part, cells.captured, cells.revision)),
            cells.truths[k].tolist(),
            *(
                column[cells.starts[k] : cells.starts[k + 1]].tolist()
                for column in (cells.scores, cells.overlaps, cells.matched, cells.ignored)
            ),
            cells.errors[cells.starts[k] : cells.starts[k + 1]].tolist(),
        )
        for k in range(len(columns))
    )


def test_columns_of_events_are_those_of_their_categories() -> None:
    events = samples.published(some_matches())
    columns = NamedColumns.of_frames(events)
    assert len(columns) > len(events)
    assert spelled(columns) == spelled(NamedColumns.of(categories_of(events)))


def test_no_events_make_no_columns() -> None:
    assert len(NamedColumns.of_frames([])) == 0
    assert len(NamedColumns.joined([])) == 0
    assert len(NamedColumns.of([])) == 0


def test_joined_columns_hold_all_matches() -> None:
    matches = some_matches()
    parts = [NamedColumns.of(part) for part in (matches[:5], [], matches[5:])]
    assert spelled(NamedColumns.joined(parts)) == spelled(NamedColumns.of(matches))


def test_categories_can_be_chosen() -> None:
    matches = some_matches()
    chosen: set[Category] = {oracle.CATEGORIES[0]}
    columns = NamedColumns.of(matches).of_categories(chosen.__contains__)
    expected = [match for match in matches if match.category in chosen]
    assert 0 < len(expected) < len(matches)
    assert spelled(columns) == spelled(NamedColumns.of(expected))


def test_names_are_spelled_once() -> None:
    names = Names.of(["b", "a", "b"])
    assert (list(names.values), names.codes.tolist()) == (["b", "a"], [0, 1, 0])
    other = Names.joined([names, Names(["c", "a"], np.array([1, 1, 0]))])
    assert [other[k] for k in range(6)] == ["b", "a", "b", "a", "a", "c"]
    assert sorted(other.values) == ["a", "b", "c"]

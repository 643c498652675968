from dataclasses import replace
from datetime import timedelta

import pytest

from services.domain.ports.figures import Figures, FigureStore
from services.runtime.stores.figures_mongo import MongoFigureStore
from services.runtime.stores.mongo import Database
from tests.samples import CAPTURED_AT as NOW


@pytest.fixture
def figures(empty_database: Database) -> FigureStore:
    return MongoFigureStore(empty_database)


def row(minute: int = 0, detector: str = "ods@1", **values: object) -> Figures:
    found = Figures(
        detector=detector,
        at=NOW + timedelta(minutes=minute),
        map={"H": 0.4, "S": None},
        found=0.5,
        random_yield=None,
        lift=2.0,
        queue={"open": 3},
        intervals={"lift": [1.0, 3.0]},
    )
    return replace(found, **values)  # type: ignore[arg-type]  # fields of the dataclass


async def test_rows_come_as_they_were_added_oldest_first(figures: FigureStore) -> None:
    rows = [row(0), row(1, lift=2.5), row(2, lift=None, gain=1.0)]
    for added in rows:
        await figures.add(added)

    assert list(await figures.since(NOW)) == rows
    assert list(await figures.since(NOW + timedelta(minutes=1))) == rows[1:]


async def test_a_history_is_thinned_evenly_over_time_whatever_other_detectors_do(
    figures: FigureStore,
) -> None:
    busy = range(1000, 1040)
    for minute in (0, 500, *busy):
        await figures.add(row(minute, lift=float(minute)))
        await figures.add(row(minute, "other@1", lift=float(minute)))

    whole = await figures.history("ods@1", NOW)
    thin = await figures.history("ods@1", NOW, most=5)

    assert [one.lift for one in whole] == [0, 500, *busy]
    assert [one.lift for one in thin] == [0, 500, 1039]
    assert {one.detector for one in (*whole, *thin)} == {"ods@1"}
    assert await figures.detectors() == ["ods@1", "other@1"]


async def test_a_history_begins_with_the_figures_in_force(figures: FigureStore) -> None:
    for minute in (0, 10, 20, 30):
        await figures.add(row(minute, lift=float(minute)))

    for start, most, expected in (
        (15, 9, [(15, 10), (20, 20), (30, 30)]),
        (15, 2, [(15, 10), (30, 30)]),
        (99, 9, [(99, 30)]),
        (-5, 2, [(0, 0), (30, 30)]),
        (-5, 4, [(0, 0), (10, 10), (20, 20), (30, 30)]),
    ):
        found = await figures.history("ods@1", NOW + timedelta(minutes=start), most)
        assert [((one.at - NOW) / timedelta(minutes=1), one.lift) for one in found] == expected
    assert await figures.history("none@1", NOW) == []


async def test_values_that_stay_make_no_row(figures: FigureStore) -> None:
    for added in (row(0), row(1), row(2, lift=1.0), row(3, lift=1.0), row(4)):
        await figures.add(added)

    assert [one.at for one in await figures.since(NOW)] == [row(0).at, row(2).at, row(4).at]


async def test_detectors_have_rows_of_their_own(figures: FigureStore) -> None:
    for added in (row(0), row(1, "ods@2"), row(2), row(3, "ods@2")):
        await figures.add(added)

    assert [one.detector for one in await figures.since(NOW)] == ["ods@1", "ods@2"]

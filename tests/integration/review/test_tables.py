"""The tables of an export, from real stores, read by the standard library and by Arrow."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from services.annotation.tables import TABLES, write_tables
from services.cli.work.leaving import leaving_all
from services.contracts.bounds import FIRST_TIME
from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.figures import Figures
from services.formats.writers.tables import TableFormat
from tests.integration.review.conftest import Browser
from tests.integration.review.test_reviewing import PAGE, values

DOCUMENTATION = Path(__file__).parents[3] / "docs/tables.md"
NOTEBOOK = DOCUMENTATION.with_name("examples") / "tables.ipynb"
AT = datetime(2026, 5, 4, 10, tzinfo=UTC)


def of_csv(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def of_parquet(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(folder / f"{name}.parquet").to_pylist()
    return rows


async def test_both_formats_hold_what_the_stores_do(ana: Browser, tmp_path: Path) -> None:
    stores = ana.world.stores
    first, *_ = await values(ana)
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": [first]})
    figures = Figures("d@1", AT, {"all": 0.5, "S": None}, 0.25, None, 2.0, {"open": 3})
    await stores.figures.add(figures)
    counts = {}
    for form in TableFormat:
        counts[form] = await write_tables(stores, form, tmp_path / form)

    assert counts[TableFormat.CSV] == counts[TableFormat.PARQUET]
    for table in TABLES:
        texts = of_csv(tmp_path / "csv", table.name)
        typed = of_parquet(tmp_path / "parquet", table.name)
        assert len(texts) == len(typed) == counts[TableFormat.CSV][table.name]
        assert all([*row] == [*table.columns] for row in typed)
        assert [{n for n, v in row.items() if v is None} for row in typed] == [
            {n for n, v in row.items() if not v} for row in texts
        ]

    frames = {row["frame_id"]: row for row in of_parquet(tmp_path / "parquet", "frames")}
    known = await stores.frames.load([FrameId("r000")])
    record = known[FrameId("r000")]
    assert record.captured is not None
    assert frames["r000"]["captured_at"] == record.captured.captured_at
    assert frames["r000"]["image_sha256"] == record.captured.image.sha256

    needles = {row["needle_id"]: row for row in of_parquet(tmp_path / "parquet", "needles")}
    async for needle in stores.needles.scan():
        listed = [
            row["frame_id"]
            for row in of_parquet(tmp_path / "parquet", "shortlists")
            if row["needle_id"] == needle.needle_id
        ]
        candidates = needle.shortlist.candidates if needle.shortlist else ()
        assert listed == [candidate.frame_id for candidate in candidates]
        assert needles[needle.needle_id]["candidates"] == len(listed)

    (verdict,) = of_parquet(tmp_path / "parquet", "verdicts")
    assert (verdict["act"], verdict["by"]) == ("accept", "Ana")
    found = {row["figure"]: row["value"] for row in of_parquet(tmp_path / "parquet", "figures")}
    assert found == {
        "map.all": 0.5,
        "map.S": None,
        "found": 0.25,
        "random_yield": None,
        "lift": 2.0,
        "queue.open": 3.0,
        "lowest_yield": None,
        "highest_yield": None,
        "gain": None,
    }


async def test_the_example_and_the_notebook_of_the_documentation_run(
    ana: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await ana.post(f"{PAGE}/decisions", {"act": "accept", "region": await values(ana)})
    await write_tables(ana.world.stores, TableFormat.PARQUET, tmp_path / "tables")
    monkeypatch.chdir(tmp_path)

    example = DOCUMENTATION.read_text().partition("```python\n")[2].partition("```")[0]
    exec(example, {})

    assert "accept" in capsys.readouterr().out
    notebook: dict[str, Any] = {}
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for source in code:
        exec(compile(source, str(NOTEBOOK), "exec"), notebook)
    assert set(notebook["tables"]) == {table.name for table in TABLES}
    assert notebook["listed"].num_rows > 0


async def test_a_folder_that_is_not_empty_is_left_alone(ana: Browser, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")

    with pytest.raises(InvalidRecord, match="not empty"):
        await write_tables(ana.world.stores, TableFormat.CSV, tmp_path)

    assert not any((tmp_path / f"{table.name}.csv").exists() for table in TABLES)


async def test_an_export_of_all_frames_has_none_that_is_erased_meanwhile(
    ana: Browser, tmp_path: Path
) -> None:
    stores, folder = ana.world.stores, tmp_path / "tables"

    async def export() -> None:
        async with leaving_all(stores, folder, "csv"):
            await write_tables(stores, TableFormat.CSV, folder)
            await stores.tombstones.add([FrameId("r000")], ErasureRequest("ada", "lost", AT))

    with pytest.raises(InvalidRecord, match="1 frames were erased meanwhile: remove"):
        await export()

    (record,) = [act async for act in stores.audit.since(FIRST_TIME) if act.on == str(folder)]
    frames = len(await stores.frame_ids.captured())
    assert record.details == {"form": "csv", "frames": frames}

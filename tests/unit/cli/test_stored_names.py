"""Ids and names are printed as they are stored, whatever characters they have."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from rich.table import Table
from typer.testing import CliRunner

import services.cli
from services.annotation.ports.needle_lists import NeedleRow
from services.app.searching import Found
from services.cli.console import console, styled
from services.cli.main import app
from services.cli.work.families import print_families, print_recheck
from services.cli.work.frame_view import FrameView, print_frame
from services.cli.work.frames import print_not_counted
from services.cli.work.label_errors import print_suspects
from services.cli.work.needle_rows import NeedlePage, print_needles
from services.cli.work.search import print_found
from services.cli.work.shortlists import print_budgets
from services.contracts.identity import Category, FamilyId, FrameId, PointId, VehicleId
from services.domain.mining.families import Family
from services.domain.mining.label_error import LabelError
from services.domain.mining.suspected_labels import SuspectedLabel
from services.domain.ports.budget_reports import BudgetReport, HeldBackFrame
from services.domain.ports.frames import FrameRecord
from services.domain.ports.vectors import Hit
from services.domain.shortlists.budgets import Budget
from services.retriever.overview import Overview, Suspect
from services.runtime.stores.frame_ids_mongo import LeftOut
from tests.samples import (
    BOX,
    CAPTURED_AT,
    DETECTOR,
    annotation,
    detection,
    frame_annotated,
    frame_captured,
    needle_found,
    predictions_made,
)
from tests.unit.cli.test_evaluate import DETECTIONS, GROUND_TRUTH

FRAME: Final = FrameId("cam[front]/000123:car:")
"""Rich would read a style and an emoji."""
CATEGORY: Final = Category("sign[/30]")
"""Rich would read the end of a style that never began, and raise MarkupError."""

NEEDLE = needle_found(FRAME, category=CATEGORY)
ROW = NeedleRow(NEEDLE, 0, None, extended=False)
OVERVIEW = Overview(
    [
        Family(
            FamilyId("a-family"),
            DETECTOR,
            CATEGORY,
            NEEDLE.error_type,
            CATEGORY,
            (NEEDLE.needle_id,),
            NEEDLE.needle_id,
            CAPTURED_AT,
            CAPTURED_AT,
            resolved=False,
        )
    ],
    [Suspect(NEEDLE, 0.9)],
    {NEEDLE.needle_id: NEEDLE},
)
MADE = predictions_made(detection(CATEGORY), frame_id=FRAME)
RECORD = FrameRecord(
    FRAME,
    frame_captured(FRAME),
    frame_annotated(annotation(CATEGORY), frame_id=FRAME),
    {MADE.detector_id: MADE},
)
COUNTS = dict.fromkeys(Budget, 1)
HELD_BACK = HeldBackFrame(
    FRAME,
    VehicleId("v1"),
    CAPTURED_AT,
    CATEGORY,
    "classification",
    CATEGORY,
    FamilyId("a-family"),
    0.4,
    0.1,
    Budget.DAY,
)
BUDGETS = BudgetReport(DETECTOR, COUNTS, COUNTS, COUNTS, [HELD_BACK])
LABEL = SuspectedLabel(FRAME, LabelError.CATEGORY, BOX, CATEGORY, CATEGORY, 0.9)
HIT = Hit(PointId("1"), 0.9, {"category": CATEGORY, "score": 0.5})

LISTINGS: Final[dict[str, Callable[[], None]]] = {
    "needles": lambda: print_needles(NeedlePage([ROW], 1), "none"),
    "families": lambda: print_families(OVERVIEW, 9),
    "missing labels": lambda: print_recheck(OVERVIEW, 9),
    "held back": lambda: print_budgets(BUDGETS, 9),
    "frame": lambda: print_frame(FrameView(RECORD, [ROW], [ROW])),
    "label errors": lambda: print_suspects(LabelError.CATEGORY, [LABEL], 9),
    "search": lambda: print_found([Found(HIT, RECORD)]),
}


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_prints_ids_and_names_as_they_are(
    listing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    LISTINGS[listing]()
    shown = capsys.readouterr().out
    assert FRAME in shown
    assert CATEGORY in shown


def test_a_frame_that_does_not_count_is_named_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_not_counted([LeftOut(FRAME, True, (DETECTOR,), FRAME)], 9)
    assert capsys.readouterr().out.count(FRAME) == 2


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_a_report_names_categories_as_they_are(command: str, tmp_path: Path) -> None:
    truth = json.loads(GROUND_TRUTH.read_text())
    for number, category in enumerate(truth["categories"]):
        category["name"] = f"{CATEGORY}{number}"
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(truth))
    made = str(DETECTIONS)
    results = ["--predictions", made] if command == "evaluate" else [made, made]
    done = CliRunner().invoke(app, [command, "--ground-truth", str(path), *results])
    assert done.exit_code == 0, done.output
    assert f"{CATEGORY}0" in done.stdout


def test_titles_headings_cells_and_lines_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(CATEGORY, title=FRAME)
    table.add_row(FRAME)
    console().print(table)
    console().print(f"{FRAME} {CATEGORY}")
    shown = capsys.readouterr().out
    assert (shown.count(FRAME), shown.count(CATEGORY)) == (3, 2)


def test_values_of_styled_text_are_no_markup() -> None:
    text = styled("[yellow]left out:[/] {:,}[dim] {}[/]{}", 1234, FRAME, "sign\\")
    assert text.plain == f"left out: 1,234 {FRAME}sign\\"
    console().print(text)
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert styles["left out:"] == "yellow"
    assert styles[FRAME] == "dim"


def _calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def test_markup_is_never_put_together_with_stored_text() -> None:
    """A console that reads markup exists nowhere; `styled` gets its values apart."""
    sources = [
        path
        for path in Path(services.cli.__path__[0]).rglob("*.py")
        if path.name not in {"console.py", "main.py"}
    ]
    calls = [(path.name, call) for path in sources for call in _calls(path)]
    names = {(name, ast.unparse(call.func)) for name, call in calls}
    assert {
        name for name, function in names if function in {"Console", "Text.from_markup"}
    } == set()
    keywords = {keyword.arg for _, call in calls for keyword in call.keywords}
    assert "markup" not in keywords
    styles = [call for _, call in calls if ast.unparse(call.func) == "styled"]
    assert styles
    assert not [call for call in styles if isinstance(call.args[0], ast.JoinedStr)]

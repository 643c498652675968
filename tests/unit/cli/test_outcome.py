import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import typer
from rich.console import Console

from services.annotation.exporting import Written
from services.cli.mining import ImportAudit, Mined
from services.cli.montage_options import MontagePlan
from services.cli.outcome import concluded, left_out, print_if_empty
from services.cli.report_view import as_json, rendered
from services.cli.work.export import tell
from services.cli.work.ingest import summary_text
from services.contracts.events import ErrorType
from services.contracts.identity import DetectorId, FrameId, VehicleId
from services.domain.metrics.subsets import Subset
from services.evaluator.reports.report import (
    CalibrationReport,
    Counts,
    OperatingReport,
    Report,
    ShortlistReport,
)
from services.formats.adjustments import Adjustment
from services.formats.items import Dataset, FrameItem, Rejection
from services.formats.writers.frames import Export, Files
from services.ingest.summary import Count, Summary
from tests.fakes.frames import InMemoryFrameStore
from tests.samples import frame_annotated, frame_captured

PLAN = MontagePlan(Path("montages"), 24)
NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def _report(detector: str = "ods@1", *, order: bool | None = True) -> Report:
    return Report(
        detector=DetectorId(detector),
        counts=Counts(frames=1234, predictions=1234, ground_truth=1200, dead_letters=2),
        needles_by_error_type=dict.fromkeys(ErrorType, 3),
        map={subset: dict.fromkeys(NUMBERS, 0.25) | {"APs": None} for subset in Subset},
        order_holds=order,
        operating=OperatingReport(
            score=0.5,
            precision=None,
            recall=0.5,
            f1=None,
            mean_iou=0.8,
            true_positives=7,
            false_positives=0,
            false_negatives=7,
        ),
        shortlist=ShortlistReport(),
        calibration=CalibrationReport(),
        calibration_by_category={},
    )


def _shown(report: Report, width: int = 120) -> str:
    out = Console(file=io.StringIO(), width=width)
    out.print(rendered(report))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


@pytest.mark.parametrize(("frames", "message"), [(0, "gt lists no images"), (1, ""), (None, "")])
def test_a_data_set_without_images_is_called_that(frames: int | None, message: str) -> None:
    out = Console(file=io.StringIO(), width=120)
    print_if_empty(out, Dataset("gt", frames, ()))
    assert isinstance(out.file, io.StringIO)
    assert out.file.getvalue().startswith(message)
    assert bool(message) == bool(out.file.getvalue())


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({}, "No frame matches the filters"),
        ({"not redacted yet, or deleted": 3}, "left out: 3 not"),
    ],
)
def test_an_empty_export_says_why(
    losses: dict[str, int], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(Written(Export(Files(), (), losses), 0), Path("out"))
    shown = capsys.readouterr().out
    assert message in shown
    assert shown.count("\n") == 2


def test_what_is_not_defined_is_a_dash_and_not_a_number() -> None:
    shown = _shown(_report())
    assert "\u2013" in shown
    assert "None" not in shown
    assert "-1" not in shown
    assert "1,234" in shown


@pytest.mark.parametrize(
    ("order", "message"), [(True, "holds:"), (False, "does not hold"), (None, "not enough")]
)
def test_the_order_of_the_subsets_is_judged(order: bool | None, message: str) -> None:
    assert message in _shown(_report(order=order))


def test_one_detector_is_an_object_and_several_are_a_list() -> None:
    assert orjson.loads(as_json([_report()]))["detector"] == "ods@1"
    both = orjson.loads(as_json([_report("ods@1"), _report("ods@2")]))
    assert [item["detector"] for item in both] == ["ods@1", "ods@2"]


def _concluded(mined: Mined) -> str:
    out = Console(file=io.StringIO(), width=120)
    concluded(out, mined, PLAN)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def _taken() -> Summary:
    return Summary(frames=Count(published=3))


def test_a_loss_is_an_error() -> None:
    with pytest.raises(typer.Exit) as leaving:
        _concluded(Mined([_report()], [], _taken(), lost=1))
    assert leaving.value.exit_code == 1


def test_nothing_lost_is_no_error() -> None:
    assert "ods@1" in _concluded(Mined([_report()], [], _taken(), lost=0))


def test_data_without_results_says_why_there_is_no_report() -> None:
    assert "predictions and ground truth" in _concluded(Mined([], [], _taken(), lost=0))


def test_an_empty_side_of_the_split_is_said() -> None:
    assert "haystack" in _concluded(Mined([_report()], [], _taken(), 0, "The haystack is empty."))


def test_rejections_are_counted_by_reason_and_listed_by_place() -> None:
    summary = Summary(
        frames=Count(known=1),
        rejected=Counter({"missing_image": 30, "duplicate_id": 1}),
        rejections=[Rejection("missing_image", f"no {i}", f"gt.json:{i}", b"") for i in range(30)],
    )
    shown = _concluded(Mined([_report()], [], summary, lost=0))
    assert "31 records" in shown
    assert "gt.json:0: no 0" in shown
    assert "gt.json:29" not in shown
    assert "11 more" in shown


def test_repairs_are_printed_a_line_for_each_kind_with_the_first_place() -> None:
    summary = Summary(frames=Count(published=2))
    for name in ("f1", "f2"):
        adjustments = Counter({Adjustment.SCORE_CLIPPED: 2, Adjustment.SCALED: 1})
        summary.add_adjustments(replace(_item(name), adjustments=adjustments))

    shown = _concluded(Mined([_report()], [], summary, lost=0))

    assert "4 scores above 1 by rounding were set to 1; first in gt.json:f1" in shown
    assert "2 frames: boxes scaled" in shown


async def test_a_frame_without_usable_detections_is_not_lost() -> None:
    store = InMemoryFrameStore()
    refused = replace(_item("f1"), image=None, annotations=None, detections=())
    audit, summary = await _called([refused]), Summary()
    await store.record([frame_captured("f1")])

    assert await audit.lost(store, summary) == 1
    summary.add_adjustments(
        replace(refused, adjustments=Counter({Adjustment.NO_DETECTIONS_LEFT: 1}))
    )
    assert await audit.lost(store, summary) == 0


def test_frames_that_do_not_count_are_named_with_what_cures_them() -> None:
    partial = {FrameId(f"f{number}"): None for number in range(7)}
    summary = Summary(
        frames=Count(published=9),
        partial_ground_truth=6,
        partial_predictions=2,
        partial_frames=partial,
        copies=3,
    )
    shown = _concluded(Mined([_report()], [], summary, lost=0))
    assert "6 frames have ground truth with refused annotations" in shown
    assert "2 frames have predictions with refused detections" in shown
    assert "f0, f1, f2, f3, f4, …" in shown
    assert "--accept-partial" in shown
    assert "3 frames are copies" in shown
    assert "count_copies=true" in shown
    assert left_out(Summary()) == []


def test_the_report_counts_what_does_not_count() -> None:
    left = {"partial_ground_truth": 6, "partial_predictions": 2, "copies": 3}
    report = _report()
    counts = report.counts.model_copy(update=left)
    shown = " ".join(_shown(report.model_copy(update={"counts": counts})).split())
    assert "6 frames with refused annotations" in shown
    assert "2 predictions with refused detections" in shown
    assert "3 copies of another frame's image" in shown
    assert "not counted" not in _shown(report)


def _item(frame_id: str) -> FrameItem:
    return FrameItem(
        frame_id=FrameId(frame_id),
        vehicle_id=VehicleId("v1"),
        location=f"gt.json:{frame_id}",
        image=Path(f"{frame_id}.jpg"),
        annotations=(),
    )


async def _called(items: Sequence[FrameItem]) -> ImportAudit:
    audit = ImportAudit(items)
    assert list(audit) == list(items)
    return audit


async def test_a_frame_of_which_all_is_stored_is_not_lost() -> None:
    audit, store = await _called([_item("f1")]), InMemoryFrameStore()
    await store.record([frame_captured("f1"), frame_annotated(frame_id="f1")])
    assert await audit.lost(store, Summary()) == 0


async def test_a_frame_without_its_ground_truth_is_lost() -> None:
    audit, store = await _called([_item("f1"), _item("f2")]), InMemoryFrameStore()
    await store.record([frame_captured("f1"), frame_annotated(frame_id="f2")])
    assert await audit.lost(store, Summary()) == 2


async def test_a_rejected_frame_is_not_lost_but_another_one_is() -> None:
    audit = await _called([_item("f1"), _item("f2")])
    summary = Summary(
        rejected=Counter({"truncated_image": 1, "invalid_box": 5}),
        rejections=[
            Rejection("truncated_image", "ends too early", "gt.json:f1", b""),
            *(Rejection("invalid_box", "no area", f"gt.json:b{i}", b"") for i in range(5)),
        ],
    )
    assert await audit.lost(InMemoryFrameStore(), summary) == 1


def test_what_is_held_names_the_page_on_which_it_is_answered() -> None:
    page = "http://127.0.0.1:8000/review/questions"
    lines = summary_text(Summary(held=Counter(unknown_category=3)), page).splitlines()
    assert lines[-1] == f"3 held until answered: on {page}, or with `gazeloop questions`"
    assert page not in summary_text(Summary(), page)


def test_nothing_is_cut_off_on_a_terminal_of_eighty_columns() -> None:
    kinds = ("false_negatives", "false_positives", "missed", "localization", "classification")
    report = _report().model_copy(update={"error_costs": dict.fromkeys(kinds, 0.1)})
    wide, narrow = (_shown(report, width) for width in (120, 80))
    assert "\u2026" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    assert set(narrow.split()) == set(wide.split())

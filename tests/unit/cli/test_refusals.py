"""What was wholly refused: one line, a remedy, and an exit status of 1."""

import io
from collections import Counter

import pytest
import typer
from rich.console import Console

from services.annotation.label_studio.pulling import Pulled
from services.cli.refusals import REMEDIES, end_if_refused, of_tasks, refusals
from services.cli.work.label_studio import _end_if_refused
from services.contracts.events import Annotation
from services.contracts.identity import Category
from services.formats.items import RecordKind, Rejection
from services.ingest.source import Source
from services.ingest.summary import Count, Summary
from tests.samples import frame_annotated


def _ended(summary: Summary, source: Source = Source.IMPORT, *, idle: bool = False) -> int:
    out = Console(file=io.StringIO(), width=120)
    try:
        end_if_refused(out, summary, source, idle=idle)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def _refused(kind: RecordKind, *reasons: str, frames: int = 3) -> Summary:
    summary = Summary(frames=Count(published=frames))
    for reason in reasons:
        whole = kind is RecordKind.FRAME
        summary.add_rejection(Rejection(reason, f"because of {reason}", "a:1", b"", whole, kind))
    return summary


def test_what_was_taken_or_is_known_already_is_no_error() -> None:
    assert _ended(Summary(frames=Count(published=1))) == 0
    assert _ended(Summary(ground_truth=Count(known=1))) == 0
    assert _ended(Summary(held=Counter(unknown_category=1)), Source.REANNOTATION) == 0


def test_nothing_at_all_is_an_error_but_not_where_a_tool_is_only_asked() -> None:
    assert _ended(Summary()) == 1
    assert _ended(Summary(), Source.REANNOTATION, idle=True) == 0


@pytest.mark.parametrize("kind", [RecordKind.DETECTION, RecordKind.ANNOTATION])
def test_boxes_that_were_all_refused_are_an_error_although_frames_were_taken(
    kind: RecordKind,
) -> None:
    summary = _refused(kind, "unknown_category", "unknown_category")
    assert _ended(summary) == 1
    (line,) = refusals(summary, Source.IMPORT)
    assert line.startswith(f"all 2 {kind.value}, for one reason (unknown_category). The first:")
    assert line.endswith(REMEDIES["unknown_category"])


def test_one_box_that_was_taken_is_enough() -> None:
    summary = _refused(RecordKind.ANNOTATION, "unknown_category")
    found = Annotation(category=Category("stop sign"), bbox=(1.0, 2.0, 3.0, 4.0))
    summary.add_boxes(frame_annotated(found))
    assert _ended(summary) == 0


def test_several_reasons_are_counted_and_have_no_one_remedy() -> None:
    summary = _refused(RecordKind.DETECTION, "unknown_image", "box_not_finite")
    assert refusals(summary, Source.IMPORT) == [
        "all 2 detections, for 2 reasons; none was accepted."
    ]


def test_a_correction_counts_by_its_frame_and_not_by_its_boxes() -> None:
    summary = Summary(ground_truth=Count(published=1))
    refused = Rejection("unsupported_shape", "a circle", "a:1", b"", kind=RecordKind.ANNOTATION)
    summary.add_rejection(refused)
    assert _ended(summary, Source.REANNOTATION) == 0


def test_corrections_that_were_all_refused_are_an_error_also_where_a_tool_is_asked() -> None:
    summary = _refused(RecordKind.FRAME, "unfinished_task", frames=0)
    assert _ended(summary, Source.REANNOTATION, idle=True) == 1
    (line,) = refusals(summary, Source.REANNOTATION)
    assert line.startswith("the only correction, for one reason (unfinished_task).")


def test_a_mask_that_was_refused_is_not_a_box() -> None:
    summary = Summary(frames=Count(published=1))
    summary.add_rejection(Rejection("invalid_mask", "too few points", "a:1", b""))
    assert _ended(summary) == 0


@pytest.mark.parametrize(
    ("pulled", "ends"),
    [
        (Pulled(), False),
        (Pulled(unfinished=2, skipped=1), False),
        (Pulled(published=1, refused=Counter(unsupported_shape=1)), False),
        (Pulled(held=Counter(overtaken=1), refused=Counter(unsupported_shape=1)), False),
        (Pulled(refused=Counter(unsupported_shape=1)), True),
    ],
)
def test_a_pull_from_label_studio_is_an_error_where_all_that_came_was_refused(
    pulled: Pulled, ends: bool
) -> None:
    if not ends:
        _end_if_refused(pulled)
        return
    with pytest.raises(typer.Exit) as leaving:
        _end_if_refused(pulled)
    assert leaving.value.exit_code == 1


def test_refused_tasks_are_named_with_what_to_do_also_where_others_were_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reasons = Counter(unsupported_shape=2)
    refused = Pulled(published=1, refused=reasons, first_refusal="a circle is no box")
    _end_if_refused(refused)
    assert capsys.readouterr().out == (
        "\nRefused: 2 corrections (unsupported_shape). The first: a circle is no box. Draw or"
        " export rectangles. Their tasks say why: correct and submit them there, then pull again.\n"
    )
    _end_if_refused(Pulled(published=1))
    assert not capsys.readouterr().out


def test_the_only_refused_task_is_named_as_such() -> None:
    assert of_tasks(Counter(odd=1), "", taken=False) == (
        "the only correction (odd). Its task says why: correct and submit it there, then pull"
        " again."
    )

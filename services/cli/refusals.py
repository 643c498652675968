"""Exit status and remedies for runs whose records were all refused."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import typer
from rich.console import Console

from services.cli.console import styled
from services.formats.items import RecordKind
from services.ingest.source import Source
from services.ingest.summary import Summary

REMEDIES: Final[Mapping[str, str]] = {
    "unknown_category": (
        "List every category that records name, with its id, in `categories`; results may list"
        " their detector's own."
    ),
    "unknown_image": (
        "Run the detector on the images that the ground truth lists, and keep their ids or file"
        " names."
    ),
    "missing_image": (
        "Set --images to the folder that file names are relative to; for an export in splits"
        " (train/, valid/), the folder of that split."
    ),
    "path_outside_folder": "Set --images to the folder that contains all images.",
    "unknown_frame": (
        "Publish the frames first, with their images; annotations and detections that follow need"
        " the same --name."
    ),
    "unfinished_task": "Submit the tasks, or confirm or delete every proposal, and export again.",
    "skipped_task": "Submit the tasks, and export again.",
    "unsupported_shape": "Draw or export rectangles.",
    "box_outside_image": "Boxes are in pixels of the image as it was published.",
    "box_far_outside": "Boxes are in pixels of the image as it was published.",
    "size_mismatch": (
        "Annotate the images as they were published. In a data set, declare the width and height"
        " of the images that the boxes were drawn on, or omit them if they are the actual size."
    ),
    "unknown_size": (
        "Set --images, or declare width and height in the data set: these boxes are fractions of"
        " the image."
    ),
    "box_in_fractions": (
        "A bbox is [x, y, width, height] in pixels: multiply fractions by the image's width and"
        " height."
    ),
    "box_inverted": "A bbox is [x, y, width, height]; width and height are not negative.",
    "invalid_crowd": "iscrowd is 0 or 1.",
    "invalid_difficult": "difficult is 0 or 1.",
    "box_without_area": "A bbox is [x, y, width, height] in pixels, not two corners.",
    "score_out_of_range": "Scores lie between 0 and 1.",
    "duplicate_id": "If another data set has these ids, distinguish this one with --name.",
}
"""Remedies for all records of a kind being refused for one reason."""

_OF_CORRECTIONS: Final[Mapping[str, str]] = {
    "unknown_image": "Set --manifest to the `manifest.json` of the export that was corrected.",
    "unknown_frame": (
        "Set --manifest to the `manifest.json` of the export that was corrected, and use the data"
        " folder or cluster that it was exported from."
    ),
    "incomplete_frame": "The list above shows which annotations were refused, and why.",
}
"""The same, for corrections."""

_KINDS: Final[Mapping[Source, frozenset[RecordKind]]] = {
    Source.IMPORT: frozenset(RecordKind),
    # A correction is accepted or refused as a whole, so only its frame counts.
    Source.REANNOTATION: frozenset({RecordKind.FRAME}),
}
_WORDS: Final[Mapping[Source, str]] = {Source.IMPORT: "frames", Source.REANNOTATION: "corrections"}


def refusals(summary: Summary, source: Source) -> list[str]:
    """A line with a remedy for each kind of record of which all were refused."""
    wholly = summary.wholly_refused()
    return [
        _line(kind, source, wholly[kind], summary)
        for kind in RecordKind
        if kind in wholly and kind in _KINDS[source]
    ]


def end_if_refused(out: Console, summary: Summary, source: Source, *, idle: bool = False) -> None:
    """Print the kinds of records of which all were refused, and exit.

    Parameters
    ----------
    idle : whether an empty input is fine, as when polling a tool

    Raises
    ------
    typer.Exit
        With 1, if all records of a kind were refused, or nothing was accepted.
    """
    lines = refusals(summary, source)
    for line in lines:
        out.print(styled("\n[bold red]Refused:[/] {}", line), soft_wrap=True)
    if lines or not (summary.accepted_frames or idle):
        raise typer.Exit(1)


def of_tasks(reasons: Counter[str], first: str, *, taken: bool) -> str:
    """The line for a tool's tasks of which the corrections were refused, with what to do.

    Parameters
    ----------
    first : what was wrong with the first of them
    taken : whether others were taken
    """
    remedy = REMEDIES.get(next(iter(reasons)), "") if len(reasons) == 1 else ""
    count = f"{reasons.total():,} corrections" if taken else _all(reasons, "corrections")
    again = "Its task says why: correct and submit it there, then pull again."
    if reasons.total() > 1:
        again = "Their tasks say why: correct and submit them there, then pull again."
    names = ", ".join(reasons)
    return f"{count} ({names}). {_sentence(first)}{remedy}{' ' if remedy else ''}{again}"


def _all(reasons: Counter[str], subject: str) -> str:
    total = reasons.total()
    return f"all {total:,} {subject}" if total > 1 else f"the only {subject.removesuffix('s')}"


def _line(kind: RecordKind, source: Source, reasons: Counter[str], summary: Summary) -> str:
    count = _all(reasons, _WORDS[source] if kind is RecordKind.FRAME else kind.value)
    if len(reasons) > 1:
        return f"{count}, for {len(reasons)} reasons; none was accepted."
    (reason,) = reasons
    first = next(
        (rejection.detail for rejection in summary.rejections if rejection.reason == reason), ""
    )
    known = {**REMEDIES, **(_OF_CORRECTIONS if source is Source.REANNOTATION else {})}
    remedy = known.get(reason, "Correct them and run the same command again.")
    return f"{count}, for one reason ({reason}). {_sentence(first)}{remedy}"


def _sentence(detail: str) -> str:
    return f"The first: {detail.rstrip('.')}. " if detail else ""

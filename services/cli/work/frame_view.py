"""What is known of one frame, for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from services.annotation.ports.id_search import GAVE_UP, FoundIds
from services.annotation.ports.needle_lists import NeedleRow
from services.annotation.stores.opening import AnnotationStores
from services.cli.console import console, print_json
from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.domain.withdrawal import in_force

_NAMED = 5


@dataclass(frozen=True)
class FrameView:
    """A frame with the needles on it, and those whose shortlist names it."""

    record: FrameRecord
    needles: Sequence[NeedleRow]
    shortlists: Sequence[NeedleRow]


async def read_frame(stores: AnnotationStores, text: str) -> FrameView:
    """The frame with this id, or the only one whose id contains it.

    Raises
    ------
    InvalidRecord
        `no_such_frame`: no id contains the text, or several do, or the search gave up.
    StoreUnavailable
        The store does not answer.
    """
    frame_id = FrameId(text)
    if frame_id not in await stores.frames.load([frame_id]):
        found = await stores.id_search.frames(text, _NAMED)
        if len(found.ids) != 1 or not found.is_complete:
            raise InvalidRecord(_not_one(found, text), reason="no_such_frame")
        frame_id = found.ids[0]
    record = (await stores.frames.load([frame_id]))[frame_id]
    lists = stores.needle_lists
    return FrameView(record, await lists.of_frame(frame_id), await lists.naming(frame_id))


def _not_one(found: FoundIds[FrameId], text: str) -> str:
    several = f"several ids contain {text!r}: {', '.join(found.ids)}"
    if not found.is_complete:
        gave_up = GAVE_UP.format(part=text)
        return f"{gave_up} Found so far: {', '.join(found.ids)}" if found.ids else gave_up
    return several if found.ids else f"there is no frame {text!r}"


def print_frame_json(view: FrameView) -> None:
    """Print the events of a frame, and ids of needles, as one object."""
    record = view.record
    captured, truth = record.captured, record.ground_truth
    print_json(
        {
            "frame_id": record.frame_id,
            "captured": captured and captured.model_dump(mode="json"),
            "ground_truth": truth and truth.model_dump(mode="json"),
            "predictions": {
                name: predictions.model_dump(mode="json")
                for name, predictions in record.predictions.items()
            },
            "copy_of": record.original if record.is_copy else None,
            "needles": [row.needle.needle_id for row in view.needles],
            "shortlisted_for": [row.needle.needle_id for row in view.shortlists],
        }
    )


def print_frame(view: FrameView) -> None:
    """Print a frame for people."""
    record, out = view.record, console()
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(view):
        facts.add_row(name, text)
    out.print(facts, highlight=False)
    table = Table(box=None, header_style="dim")
    for heading in ("from", "category", "score", "box x, y, width, height"):
        table.add_column(heading, justify="right" if heading == "score" else "left")
    for annotation in record.ground_truth.annotations if record.ground_truth else ():
        table.add_row("ground truth", annotation.category, "", _box(annotation.bbox))
    for name, predictions in record.predictions.items():
        for found in sorted(predictions.detections, key=lambda detection: -detection.score):
            table.add_row(name, found.category, f"{found.score:.2f}", _box(found.bbox))
    if table.row_count:
        out.print(table, highlight=False)


def _facts(view: FrameView) -> list[tuple[str, str]]:
    record = view.record
    captured, truth = record.captured, in_force(record.ground_truth)
    image = captured.image if captured else None
    annotated = f"revision {truth.revision}, {len(truth.annotations)} objects" if truth else "none"
    part = "" if truth is None or truth.complete else ", partial"
    copy = [("copy of", record.original)] if record.is_copy and record.original else []
    return [
        ("frame", record.frame_id),
        ("vehicle", captured.vehicle_id if captured else "no image yet"),
        ("drive", (captured.drive_id if captured else None) or "none"),
        ("captured", f"{captured.captured_at:%Y-%m-%d %H:%M:%S} UTC" if captured else "unknown"),
        ("image", f"{image.width} x {image.height}, {image.media_type}" if image else "none"),
        ("ground truth", f"{annotated}{part}"),
        *copy,
        ("needles", _ids(view.needles)),
        ("shortlisted for", _ids(view.shortlists)),
    ]


def _ids(rows: Sequence[NeedleRow]) -> str:
    return ", ".join(f"{row.needle.needle_id} ({row.needle.category})" for row in rows) or "none"


def _box(bbox: Sequence[float]) -> str:
    return ", ".join(f"{side:.1f}" for side in bbox)

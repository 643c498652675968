"""Reads the annotated frames, and finds the label errors that detectors make suspect."""

import asyncio
from collections import defaultdict

from services.contracts.events import Split
from services.contracts.identity import DetectorId
from services.domain.metrics.counting import why_not_counted
from services.domain.mining.suspected_labels import (
    LabelledFrame,
    SuspectedLabel,
    of_several,
    suspected_labels,
)
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.redaction import is_named
from services.domain.splits import SplitRule

_ByDetector = defaultdict[DetectorId, list[LabelledFrame]]


async def read_label_errors(
    frames: FrameStore,
    split_rule: SplitRule,
    split: Split | None,
    *,
    count_copies: bool = False,
    redacting: str = "",
) -> list[SuspectedLabel]:
    """The suspected label errors of a split, or of all annotated frames, most suspicious first.

    Parameters
    ----------
    redacting : the detector that finds what images hide, whose objects nobody annotates; empty for
        none

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    found: _ByDetector = defaultdict(list)
    async for records in frames.evaluable():
        # These lack the image, whose size and drive are needed.
        whole = await frames.load([record.frame_id for record in records])
        for _, record in sorted(whole.items()):
            if _is_of_split(record, split_rule, split):
                _add(found, record, count_copies=count_copies, redacting=redacting)
    return await asyncio.to_thread(
        lambda: of_several([suspected_labels(found[detector]) for detector in sorted(found)])
    )


def _is_of_split(record: FrameRecord, split_rule: SplitRule, split: Split | None) -> bool:
    captured = record.captured
    return captured is not None and split in (
        None,
        split_rule.split_of(record.frame_id, captured.drive_id),
    )


def _add(found: _ByDetector, record: FrameRecord, *, count_copies: bool, redacting: str) -> None:
    """Add a frame to the detectors with complete predictions of it."""
    captured, truth = record.captured, record.ground_truth
    if captured is None or truth is None:
        return
    size = captured.image.width, captured.image.height
    copy = record.is_copy and not count_copies
    for detector, predictions in record.predictions.items():
        if is_named(predictions, redacting):
            continue
        if why_not_counted(truth, predictions, copy=copy) is None:
            unit = captured.drive_id or record.frame_id
            found[detector].append(LabelledFrame.of(record.named(detector), truth, unit, size))

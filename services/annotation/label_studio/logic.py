"""Pure rules: a task's content, and whether it may be changed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import orjson

from services.annotation.label_studio.interface import Interface
from services.annotation.label_studio.tasks import KEY, Json
from services.annotation.ports.annotation_tasks import TaskStatus
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId, NeedleId, RegionId
from services.contracts.needles import Candidate, ShortlistPublished
from services.domain.detection.operating_scores import OperatingScores
from services.domain.ports.frames import FrameRecord
from services.formats.writers.frames import ExportFrame, Proposal
from services.formats.writers.label_studio import result, truth_result

MODEL_VERSION = "gazeloop"
"""Model version of every prediction: Label Studio prefills only the version a project names."""
ASKED = "gazeloop_asked"
"""Task data field with the digest of the task's content, to recover a lost record."""
STATUS = "gazeloop"
"""Task data field in which Gazeloop writes the task's state for annotators."""

_NAMESPACE = UUID("4f1b0c57-3a87-5d0e-9a55-8b0f5c1d7e21")


def key_of(frame_id: FrameId) -> str:
    """The frame's task key, equal on every push."""
    return str(uuid5(_NAMESPACE, frame_id))


@dataclass(frozen=True)
class FrameTask:
    """The content of one frame's task.

    Attributes
    ----------
    frame : with its ground truth, and the shortlisted regions as proposals
    others : other detections, if nobody has annotated the frame
    needles : the needles whose shortlists contain the frame
    """

    frame: ExportFrame
    others: tuple[Proposal, ...]
    needles: tuple[NeedleId, ...]

    def results(self, interface: Interface) -> list[Json]:
        """The prefilled results: ground truth, then proposals."""
        names = {"from_name": interface.control, "to_name": interface.image}
        truths = [
            truth_result(self.frame, place, annotation)
            for place, annotation in enumerate(self.frame.annotations or ())
        ]
        return [{**truth, **names} for truth in (*truths, *map(self._proposed, self.others))] + [
            {**self._proposed(proposal), **names} for proposal in self.frame.proposals
        ]

    def _proposed(self, proposal: Proposal) -> Json:
        drawn = result(self.frame, proposal.region_id, proposal.category, proposal.bbox)
        text = f"{proposal.category}, score {proposal.score:.2f}"
        meta: dict[str, Any] = {"text": [f"predicted: {text}"]}
        if proposal.needle_id is not None:
            meta = {"text": [f"is this right? {text}"], "needle_id": proposal.needle_id}
        return {**drawn, "score": proposal.score, "meta": meta}

    def task(self, interface: Interface, image: str) -> Json:
        """The task, with predictions that Label Studio prefills."""
        frame = self.frame
        score = max((proposal.score for proposal in frame.proposals), default=0.0)
        data = {
            interface.field: image,
            KEY: key_of(frame.frame_id),
            ASKED: self.digest(interface),
            STATUS: "asked",
            "frame_id": frame.frame_id,
            "vehicle_id": frame.vehicle_id,
            "drive_id": frame.drive_id or "",
            "captured_at": frame.captured_at.isoformat(),
            "ground_truth_revision": frame.revision,
            "needles": ", ".join(self.needles),
            "looked_for": ", ".join(sorted({proposal.category for proposal in frame.proposals})),
        }
        prediction = {
            "model_version": MODEL_VERSION,
            "score": score,
            "result": self.results(interface),
        }
        return {"data": data, "predictions": [prediction]}

    def digest(self, interface: Interface) -> str:
        """A digest of the task's content; differs if an annotator would see other content."""
        content = [self.frame.revision, self.needles, self.results(interface)]
        return hashlib.sha256(orjson.dumps(content)).hexdigest()


def task_for(
    record: FrameRecord,
    truth: FrameAnnotated | None,
    shortlists: Sequence[ShortlistPublished],
    operating: OperatingScores,
) -> FrameTask | None:
    """A frame's task for these shortlists; None if there is none, or its image is unknown yet."""
    proposals: dict[RegionId, Proposal] = {}
    needles = []
    for shortlist in shortlists:
        for candidate in shortlist.candidates:
            if candidate.frame_id == record.frame_id:
                proposals.setdefault(candidate.region_id, _proposal(candidate, shortlist.needle_id))
                needles.append(shortlist.needle_id)
    captured = record.captured
    if not proposals or captured is None:
        return None
    frame = ExportFrame.of(captured, truth, tuple(proposals.values()))
    others: tuple[Proposal, ...] = ()
    if frame.annotations is None:
        others = tuple(_others(record, proposals, operating))
    return FrameTask(frame, others, tuple(dict.fromkeys(needles)))


def _proposal(candidate: Candidate, needle_id: NeedleId) -> Proposal:
    return Proposal(
        candidate.region_id, candidate.category, candidate.score, candidate.bbox, needle_id
    )


def _others(
    record: FrameRecord,
    proposals: Mapping[RegionId, Proposal],
    operating: OperatingScores,
) -> list[Proposal]:
    return [
        Proposal(region, detection.category, detection.score, detection.bbox)
        for named in map(record.named, sorted(record.predictions))
        for region, detection in zip(named.regions, named.predictions.detections, strict=True)
        if detection.score >= operating.of(named.predictions.detector_id, detection.category)
        and region not in proposals
    ]


def is_untouched(task: Json) -> bool:
    """Whether nobody has started on the task, so that it may be changed or deleted."""
    return not task.get("annotations") and not task.get("drafts")


def status_of(task: Json) -> TaskStatus:
    """The task's status; `ANSWERED` if there is a submission."""
    annotations = task.get("annotations") or []
    if any(not annotation.get("was_cancelled") for annotation in annotations):
        return TaskStatus.ANSWERED
    if annotations:
        return TaskStatus.SKIPPED
    return TaskStatus.STARTED if task.get("drafts") else TaskStatus.OPEN


def read_of(task: Json) -> str:
    """A digest of the annotators' submissions; Gazeloop's own changes do not affect it."""
    content = sorted(
        (item["id"], item["updated_at"], bool(item.get("was_cancelled")))
        for item in task.get("annotations") or []
    )
    drafts = sorted(item["id"] for item in task.get("drafts") or [])
    return hashlib.sha256(orjson.dumps([content, drafts])).hexdigest()

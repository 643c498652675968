"""Re-annotation: when the annotation team has corrected a frame."""

from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated


def is_reannotated(truth: FrameAnnotated | None) -> bool:
    """Whether the annotation team has annotated the frame in full.

    A partial annotation is none: objects that it lacks would count as false positives.
    """
    return truth is not None and truth.complete and truth.annotation_source == REANNOTATION_SOURCE

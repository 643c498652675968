import numpy as np
import pytest

from services.contracts.events import ErrorType
from services.domain.arrays import Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples
from services.domain.mining.label_errors import missing_label_suspicion

WRONG = FailureMode(ErrorType.BACKGROUND)


def around(angle: float, count: int) -> Vectors:
    angles = angle + 0.01 * np.arange(1, count + 1)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def examples() -> Examples:
    """Right regions around 0, wrong ones around 1.5."""
    vectors = np.concatenate([around(0.0, 5), around(1.5, 5)])
    return Examples(vectors, np.zeros((10, 1)), [None] * 5 + [WRONG] * 5)


def test_a_sure_detection_among_right_regions_is_suspected_to_lack_its_label() -> None:
    needles = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    suspicion = missing_label_suspicion(needles, np.array([0.9, 0.5, 0.9]), examples())
    assert suspicion == pytest.approx([0.9, 0.5, 0.0])


def test_a_needle_does_not_speak_for_itself() -> None:
    known = examples()
    needle = known.vectors[[9]]
    among = Examples(
        np.concatenate([known.vectors[:5], needle]), np.zeros((6, 1)), [None] * 5 + [WRONG]
    )
    assert missing_label_suspicion(needle, np.array([0.8]), among) == pytest.approx([0.8])


@pytest.mark.parametrize(("others", "share"), [(0, 0.0), (1, 1.0), (3, 1.0)])
def test_a_needle_among_few_examples_does_not_speak_for_itself(others: int, share: float) -> None:
    known = examples()
    needle = known.vectors[[9]]
    vectors = np.concatenate([known.vectors[:others], needle])
    modes = [None] * others + [WRONG]
    among = Examples(vectors, np.zeros((others + 1, 1)), modes)
    suspicion = missing_label_suspicion(needle, np.array([0.8]), among)
    assert suspicion == pytest.approx([0.8 * share])


def test_without_examples_nothing_is_suspected() -> None:
    empty = Examples(np.empty((0, 2), np.float32), np.empty((0, 1)), ())
    assert missing_label_suspicion(around(0, 2), np.ones(2), empty) == pytest.approx([0, 0])

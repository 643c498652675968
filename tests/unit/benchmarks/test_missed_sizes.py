"""What a frame's detections say of the objects of each size that were missed."""

import numpy as np
import pytest

from benchmarks.missed_sizes import evidence_by_size
from tests.unit.domain.test_expected_misses import LARGE, OPERATING, SIGN, SMALL, frames


def test_evidence_by_size_separates_small_from_large() -> None:
    of_size = evidence_by_size(frames((0, SIGN, 0.2, SMALL), (0, SIGN, 0.8, LARGE)), OPERATING)
    assert of_size.shape == (1, 6, 8)
    small, _, large = of_size[0, :3, :2]
    assert small == pytest.approx([np.log1p(0.16), 0])
    assert large == pytest.approx([np.log1p(0.16), np.log1p(1)])
    assert of_size[0, :3, 2:] == pytest.approx(of_size[0, [0], 2:].repeat(3, axis=0))


def test_detections_of_almost_no_score_are_no_evidence_of_any_size() -> None:
    assert not evidence_by_size(frames((0, SIGN, 0.04, SMALL)), OPERATING).any()

"""The families of active needles, as needles join and leave."""

import numpy as np

from services.contracts.identity import FamilyId
from services.contracts.needles import NeedleFound
from services.retriever.allocation.family_index import FamilyIndex
from services.retriever.changelog import Changelog
from tests import samples

KEY = ("ods@1", "stop sign")
NEEDLES = [samples.needle_found(frame_id) for frame_id in ("a", "b", "c")]


def joined(needles: list[NeedleFound], angles: list[float]) -> FamilyIndex:
    index = FamilyIndex(0.9, Changelog())
    vectors = {
        needle.region_id: np.array([np.cos(angle), np.sin(angle)], np.float32)
        for needle, angle in zip(needles, angles, strict=True)
    }
    index.join([(KEY, needle) for needle in needles], vectors)
    return index


def families(index: FamilyIndex) -> list[FamilyId]:
    return list(index.mode_query(KEY).families)


def test_a_family_is_searched_for_until_its_last_needle_leaves() -> None:
    index = joined(NEEDLES, [0.0, 0.01, 2.0])
    first, second, other = (needle.needle_id for needle in NEEDLES)
    alike, apart = index.family_of(first), index.family_of(other)
    assert index.family_of(second) == alike
    assert families(index) == [alike, apart]
    index.leave(first)
    assert families(index) == [alike, apart]
    index.leave(second)
    assert families(index) == [apart]

"""Planes of bits behave like lists of detections."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.metrics import plane_kernels
from services.domain.metrics.index_layout import BEST, BLOCK, COUNTED, PART, PLANES, WINDOW, WORDS

Words = tuple[int, int, int]
"""True positives, what is not ignored, and the planes from `PART` on."""


def words() -> st.SearchStrategy[Words]:
    forty, eight = st.integers(0, 2**40 - 1), st.integers(0, 2 ** (PLANES - PART) - 1)
    return st.tuples(forty, forty, eight)


def empty() -> np.ndarray:
    return np.zeros((WORDS, PLANES), np.uint64)


def insert(planes: np.ndarray, size: int, place: int, detection: Words) -> None:
    plane_kernels.insert(planes, size, place, *map(np.uint64, detection))


def held(planes: np.ndarray) -> list[Words]:
    """The detection at each place."""
    by_plane = np.ascontiguousarray(planes.T)
    bits = np.unpackbits(by_plane.view(np.uint8), axis=1, bitorder="little").astype(object)
    parts = [bits[:COUNTED], bits[COUNTED:PART], bits[PART:]]
    rows = [sum(part[b] << b for b in range(len(part))) for part in parts]
    return list(zip(*rows, strict=True))


@given(st.lists(st.tuples(st.floats(0, 1), words() | st.none()), max_size=150))
def test_detections_go_in_and_out_at_any_place(steps: list[tuple[float, Words | None]]) -> None:
    planes, expected = empty(), list[Words]()
    for where, detection in steps:
        if detection is not None:
            place = round(where * len(expected))
            insert(planes, len(expected), place, detection)
            expected.insert(place, detection)
        elif expected:
            place = round(where * (len(expected) - 1))
            plane_kernels.remove(planes, len(expected), place)
            del expected[place]
    assert held(planes) == expected + [(0, 0, 0)] * (BLOCK - len(expected))


def test_a_full_block_is_split_in_halves() -> None:
    rng = np.random.default_rng(0)
    detections = [(int(a), int(b), int(c)) for a, b, c in rng.integers(0, 256, (BLOCK, 3))]
    planes, upper = empty(), np.full((WORDS, PLANES), 7, np.uint64)
    for place, detection in enumerate(detections):
        insert(planes, place, place, detection)
    plane_kernels.split(planes, upper)
    nothing = [(0, 0, 0)] * (BLOCK // 2)
    assert held(planes) == detections[: BLOCK // 2] + nothing
    assert held(upper) == detections[BLOCK // 2 :] + nothing


def test_what_a_detection_belongs_to_can_change() -> None:
    planes = empty()
    for place, part in enumerate((0, 1, 2)):
        insert(planes, place, place, (1, 1, int(plane_kernels.belongs(part, 0, 20))))
    plane_kernels.assign(planes, 1, plane_kernels.belongs(2, 0b101, 0))
    parts = {PART: 0b001, PART + 1: 0b000, PART + 2: 0b110}
    windows = {WINDOW: 0b010, WINDOW + 1: 0b000, WINDOW + 2: 0b010}
    best = {BEST: 0b010, BEST + 1: 0b010}
    expected = parts | windows | best
    assert {p: int(planes[0, p]) for p in expected} == expected


@pytest.mark.parametrize("seed", range(5))
def test_squares_of_bits_are_transposed(seed: int) -> None:
    square = np.random.default_rng(seed).integers(0, 2**64, 64, np.uint64)
    bits = np.unpackbits(square.view(np.uint8).reshape(64, 8), axis=1, bitorder="little")
    plane_kernels.transpose(square)
    turned = np.unpackbits(square.view(np.uint8).reshape(64, 8), axis=1, bitorder="little")
    assert (turned == bits.T).all()


@given(st.integers(0, 2**64 - 1))
def test_bits_are_counted(word: int) -> None:
    assert plane_kernels.ones(np.uint64(word)) == word.bit_count()

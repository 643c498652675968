"""Near-duplicates among frames without a drive."""

import numpy as np

from services.contracts.identity import FrameId
from services.domain.arrays import FloatArray, Vector
from services.domain.shortlists.look_alikes import look_alikes

RNG = np.random.default_rng(0)
TYPICAL = RNG.normal(size=64)


def scene(seed: int, spread: float) -> FloatArray:
    """Of a model whose vectors lie around a typical one; less spread, closer cosines."""
    return TYPICAL + spread * np.random.default_rng(seed).normal(size=64)


def unit(
    vector: FloatArray,
) -> Vector:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def burst(seed: int, spread: float, count: int) -> list[Vector]:
    noise = np.random.default_rng([seed, 1])
    return [unit(scene(seed, spread) + 0.1 * spread * noise.normal(size=64)) for _ in range(count)]


def test_of_each_burst_one_frame_is_left_whatever_the_models_cosines_are() -> None:
    for spread in (1.0, 0.1):  # usual cosines of .5 and .99
        vectors, names = {}, []
        for seed in range(5):
            for k, row in enumerate(burst(seed, spread, 4)):
                names.append(FrameId(f"{seed}-{k}"))
                vectors[names[-1]] = row
        others = np.stack([unit(scene(seed, spread)) for seed in range(100, 120)])

        found = look_alikes(names, [], others, vectors)

        assert found == {name for name in names if not name.endswith("-0")}


def test_listed_frames_count_and_frames_without_a_vector_are_alike_to_none() -> None:
    one, two = burst(1, 1.0, 2)
    vectors = {FrameId("a"): one, FrameId("b"): two}
    others = np.stack([unit(scene(seed, 1.0)) for seed in range(100, 120)])
    names = [FrameId("b"), FrameId("unknown")]

    assert look_alikes(names, [FrameId("a")], others, vectors) == {"b"}
    assert look_alikes(names, [], others, vectors) == set()
    assert look_alikes(names, [FrameId("a")], others[:0], vectors) == set()

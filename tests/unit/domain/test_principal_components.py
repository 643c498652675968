"""Principal components, compared with a singular value decomposition."""

import numpy as np
import pytest

from services.domain.arrays import FloatArray, Vectors
from services.domain.mining.principal_components import PrincipalComponents

MAX_COMPONENTS = 4


def by_decomposition(vectors: Vectors) -> FloatArray:
    """The coordinates, up to the sign of each component."""
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    return np.asarray(left * sizes * np.sqrt(len(vectors)) / sizes[0])[:, :MAX_COMPONENTS]


@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_coordinates_are_those_of_a_decomposition_whatever_the_scale(
    shape: tuple[int, int], scale: float
) -> None:
    vectors = np.random.default_rng(0).normal(scale=scale, size=shape).astype(np.float32)
    found = PrincipalComponents.of(vectors, MAX_COMPONENTS).coordinates(vectors)
    assert np.abs(found) == pytest.approx(np.abs(by_decomposition(vectors)), abs=1e-4)

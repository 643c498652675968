"""The plane in which vectors differ most."""

import numpy as np
import pytest

from services.domain.statistics.principal_plane import PrincipalPlane


def test_the_plane_of_largest_variance_is_found_in_its_order() -> None:
    random = np.random.default_rng(3)
    spread = np.array([0.1, 5.0, 0.1, 2.0, 0.1])
    vectors = (random.normal(size=(400, 5)) * spread + 7).astype(np.float32)

    plane = PrincipalPlane.of(vectors)
    placed = plane.coordinates(vectors)

    assert np.abs(plane.axes[[1, 3], [0, 1]]).min() > 0.99
    np.testing.assert_allclose(plane.axes.T @ plane.axes, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(placed.mean(axis=0), 0, atol=1e-6)
    assert placed.std(axis=0) == pytest.approx([5, 2], rel=0.15)


def test_a_map_is_not_mirrored_when_the_order_of_its_vectors_changes() -> None:
    vectors = np.random.default_rng(4).normal(size=(50, 6)).astype(np.float32)

    np.testing.assert_allclose(
        PrincipalPlane.of(vectors).axes, PrincipalPlane.of(vectors[::-1]).axes, atol=1e-5
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_part_of_an_axis_is_positive(seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(50, 6)).astype(np.float32)

    axes = PrincipalPlane.of(vectors).axes
    assert (axes[np.abs(axes).argmax(axis=0), [0, 1]] > 0.1).all()


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (2, 2)])
def test_few_vectors_have_a_place_too(shape: tuple[int, int]) -> None:
    vectors = np.ones(shape, np.float32)

    assert PrincipalPlane.of(vectors).coordinates(vectors).tolist() == [[0, 0]] * shape[0]

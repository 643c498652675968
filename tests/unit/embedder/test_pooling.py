"""Each way to pool a map, against a plainer computation; whitening against its definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from services.contracts.errors import InvalidSettings
from services.embedder.models.backbones import backbone_named
from services.embedder.models.map_embedder import RegionEncoder
from services.embedder.models.network import load_network
from services.embedder.models.pooling import Pooling, dimension, pool, windows
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.models.weights import read_weights, with_whitening
from services.embedder.models.whitening import Whitening, fit_whitening
from services.runtime.settings import Settings

WAYS = [way for way in Pooling if way is not Pooling.PENULTIMATE]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(1, 1), (3, 8), (7, 7), (12, 2)])
def test_a_map_of_any_size_gives_the_dimension_that_was_announced(
    way: Pooling, size: tuple[int, int]
) -> None:
    pooled = pool(torch.rand(2, 5, *size), way)

    assert pooled.shape == (2, dimension(5, way))
    assert pooled.isfinite().all()


def test_rmac_sums_the_maxima_of_all_windows_each_of_unit_length() -> None:
    mapped = torch.rand(1, 4, 6, 9, generator=torch.Generator().manual_seed(1))

    total = torch.zeros(4)
    for top, left, side in windows(6, 9):
        window = mapped[0, :, top : top + side, left : left + side]
        maxima = window.reshape(4, -1).max(dim=1).values
        total += maxima / maxima.norm()

    assert pool(mapped, Pooling.RMAC)[0].numpy() == pytest.approx(total.numpy(), abs=1e-6)


def test_rmacs_windows_on_a_square_are_one_four_and_nine() -> None:
    found = list(windows(12, 12))

    assert [side for _, _, side in found] == [12] + [8] * 4 + [6] * 9
    assert {(top, left) for top, left, side in found if side == 8} == {
        (0, 0),
        (0, 4),
        (4, 0),
        (4, 4),
    }


@given(st.integers(1, 40), st.integers(1, 40))
def test_rmacs_windows_lie_on_the_map_and_reach_its_corners(height: int, width: int) -> None:
    found = list(windows(height, width))

    assert all(top + side <= height and left + side <= width for top, left, side in found)
    assert any(top == 0 and left == 0 for top, left, _ in found)
    assert any(top + side == height and left + side == width for top, left, side in found)


def correlated(count: int = 400) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, 6)) @ rng.standard_normal((6, 6)) + 3
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
        np.float32
    )
    return unit


def test_whitened_vectors_have_no_mean_unit_variance_and_no_correlation() -> None:
    vectors = correlated()

    fitted = fit_whitening(vectors, 4)
    white = (vectors - fitted.mean) @ fitted.projection.T

    assert white.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-4)
    assert np.cov(white.T) == pytest.approx(np.eye(4), abs=1e-3)
    assert np.array_equal(fit_whitening(vectors, 4).projection, fitted.projection)


@pytest.mark.parametrize(
    ("count", "wanted", "message"),
    [(400, 7, "cannot be whitened to 7"), (4, 4, "give more images"), (400, 6, "at most 3")],
)
def test_vectors_that_do_not_carry_the_dimensions_are_refused(
    count: int, wanted: int, message: str
) -> None:
    vectors = correlated(count)
    if message == "at most 3":
        vectors[:, 3:] = 0.1

    with pytest.raises(InvalidSettings, match=message):
        fit_whitening(vectors, wanted)


@pytest.fixture
def whitened(tmp_path: Path) -> Path:
    shipped = backbone_named("gazeloop-small").shipped
    assert shipped is not None
    rng = np.random.default_rng(1)
    fitted = Whitening(
        rng.random(128).astype(np.float32), rng.standard_normal((8, 128)).astype(np.float32)
    )
    path = tmp_path / "whitened.safetensors"
    save_file(dict(with_whitening(read_weights(shipped), fitted, Pooling.AVERAGE)), path)
    return path


def test_whitening_in_the_weights_file_is_applied_and_in_the_identity(whitened: Path) -> None:
    network = load_network(Settings(embedder="gazeloop-small", weights=whitened))
    plain = load_network(Settings(embedder="gazeloop-small"))
    mapped = torch.rand(3, 128, 2, 2)

    pooled = plain.head(mapped).numpy()
    held = read_weights(whitened)
    mean, projection = (
        held[f"whitening.average.{part}"].numpy() for part in ("mean", "projection")
    )
    expected = (pooled - mean) @ projection.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)

    assert network.head(mapped).numpy() == pytest.approx(expected, abs=1e-5)
    model = TorchEmbedder(network, RegionEncoder.CROP)
    assert (model.frame_dimension, model.region_dimension) == (8, 16)
    assert "-whitened-8d-" in model.model_id
    assert model.model_id.split("-")[-1] != TorchEmbedder(plain, RegionEncoder.CROP).model_id[-8:]


def test_whitening_for_another_pooling_is_refused(whitened: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"whitened for the pooling average and not for gem"):
        load_network(Settings(embedder="gazeloop-small", weights=whitened, pooling="gem"))


def test_whitening_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    shipped = backbone_named("gazeloop-small").shipped
    assert shipped is not None
    wrong = Whitening(np.zeros(64, np.float32), np.zeros((8, 64), np.float32))
    path = tmp_path / "wrong.safetensors"
    save_file(dict(with_whitening(read_weights(shipped), wrong, Pooling.AVERAGE)), path)

    with pytest.raises(InvalidSettings, match="64 dimensions, and gazeloop-small gives 128"):
        load_network(Settings(embedder="gazeloop-small", weights=path))

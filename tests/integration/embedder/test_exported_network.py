"""Exported networks: the vectors of the embedder that they were made of, and no torch."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.embedder import Embedder, FrameVectors
from services.embedder.models import weights
from services.embedder.models.backbones import backbone_named
from services.embedder.models.choosing import embedder_of
from services.embedder.models.exported_embedder import ExportedEmbedder
from services.embedder.models.exporting import exported
from services.embedder.models.pooling import Pooling
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.models.whitening import Whitening
from services.runtime.settings import Settings
from tests.unit.embedder.networks import untrained

BOXES = np.array([[10.0, 5.0, 40.0, 30.0], [60.5, 20.25, 25.0, 50.0]])
SMALL = Settings(embedder="gazeloop-small")


def written(settings: Settings, folder: Path) -> Settings:
    """The same settings, with the exported network in place of the backbone."""
    file = folder / "network.zip"
    file.write_bytes(exported(settings).content())
    return settings.model_copy(update={"embedder": str(file), "weights": None})


def embedded(embedder: Embedder) -> tuple[str, Sequence[FrameVectors]]:
    noise = np.random.default_rng(1).integers(0, 255, (2, 12, 16, 3), dtype=np.uint8)
    sizes = ((128, 96), (150, 70))
    images = [
        Image.fromarray(array).resize(size, Image.Resampling.BICUBIC)
        for array, size in zip(noise, sizes, strict=True)
    ]
    return embedder.model_id, embedder.embed(images, [BOXES, BOXES[:1]])


def assert_same_vectors(settings: Settings, folder: Path) -> None:
    assert_as_by_torch(settings, embedder_of(written(settings, folder)))


def assert_as_by_torch(settings: Settings, embedder: Embedder) -> None:
    assert isinstance(embedder, ExportedEmbedder)
    model, expected = embedded(TorchEmbedder.of(settings))
    found_model, found = embedded(embedder)
    assert found_model == model
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.frame, other.frame, atol=1e-6)
        np.testing.assert_allclose(one.regions, other.regions, atol=1e-6)


@pytest.mark.parametrize("regions", ["roi", "crop"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_and_the_models_id_are_those_of_the_backbone(
    regions: str, precision: str, tmp_path: Path
) -> None:
    update = {"region_encoder": regions, "embed_precision": precision}
    assert_same_vectors(SMALL.model_copy(update=update), tmp_path)


def test_a_whitening_is_exported_too(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    mean = np.asarray(random.normal(size=128) / 16, np.float32)
    whitening = Whitening(mean, np.asarray(random.normal(size=(8, 128)), np.float32))
    state = untrained(backbone_named("conv_ae"), seed=2).state_dict()
    file = tmp_path / "whitened.safetensors"
    save_file(dict(weights.with_whitening(state, whitening, Pooling.AVERAGE)), file)
    settings = Settings(embedder="conv_ae", pooling="average", weights=file)
    assert "whitened" in embedder_of(settings).model_id

    assert_same_vectors(settings, tmp_path)


def test_a_head_that_does_not_average_is_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"gem cannot be exported.*GAZELOOP_POOLING=average"):
        exported(SMALL.model_copy(update={"pooling": "gem"}))


@pytest.mark.parametrize("name", ["squeezenet1_0", "gazeloop-small"])
def test_the_included_exports_are_of_the_included_weights(name: str) -> None:
    settings = Settings(embedder=name, embed_runtime="openvino")
    assert_as_by_torch(settings, embedder_of(settings))


@pytest.mark.parametrize(
    "update",
    [
        {"embed_runtime": "torch"},
        {"pooling": "gem"},
        {"weights": backbone_named(SMALL.embedder).shipped},
    ],
)
def test_what_an_included_export_does_not_do_is_done_by_torch(update: dict[str, object]) -> None:
    assert isinstance(embedder_of(SMALL.model_copy(update=update)), TorchEmbedder)


def test_only_an_included_export_is_found_by_a_name_without_its_ending(tmp_path: Path) -> None:
    file = Path(written(SMALL, tmp_path).embedder)
    with pytest.raises(InvalidSettings, match="there is no embedder"):
        embedder_of(Settings(embedder=str(file.with_suffix("")), embed_runtime="openvino"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    settings = written(SMALL, tmp_path)
    file = Path(settings.embedder)
    with ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content[:-4] if name == "network.bin" else content)
    with pytest.raises(MissingWeights, match="do not match its card"):
        embedder_of(settings)

    file.write_bytes(b"PK")
    with pytest.raises(MissingWeights, match="damaged, or no exported network"):
        embedder_of(settings)

    file.unlink()
    with pytest.raises(MissingWeights, match="no exported network at"):
        embedder_of(settings)


def test_settings_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    settings = written(SMALL, tmp_path)
    with pytest.raises(InvalidSettings, match="OpenVINO alone runs"):
        embedder_of(settings.model_copy(update={"embed_runtime": "torch"}))
    with pytest.raises(InvalidSettings, match="is in full precision"):
        embedder_of(settings.model_copy(update={"embed_precision": "int8"}))
    with pytest.raises(MissingWeights, match="has the sha256"):
        embedder_of(settings.model_copy(update={"weights_sha256": "0" * 64}))


_WITHOUT_TORCH = """
import importlib, json, pkgutil, sys
from importlib.machinery import PathFinder

MISSING = ("torch", "torchvision", "timm")

class Finder(PathFinder):
    @staticmethod
    def find_spec(name, path=None, target=None):
        is_missing = name.partition(".")[0] in MISSING
        return None if is_missing else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
import services
from services.embedder.models import choosing
from services.runtime.settings import Settings

choosing.embedder_of(Settings(embedder=sys.argv[1]))
choosing._GPUS = ("null",)  # as on a machine with a GPU
choosing.embedder_of(Settings())
failed = []
for module in pkgutil.walk_packages(services.__path__, "services."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as exc:
        if exc.name.partition(".")[0] in MISSING:
            failed.append(module.name)
print(json.dumps(failed))
"""
NEED_TORCH = (
    "services.app.train_small",
    "services.benchmark.",
    "services.cli.training_view",
    "services.cli.work.benchmark",
    "services.cli.work.calibrate",
    "services.cli.work.models_export",
    "services.cli.work.train",
    "services.cli.work.whiten",
    "services.embedder.models.",
    "services.embedder.training.",
)
"""Training, calibrating, exporting and comparing backbones; and the backbones themselves."""


def test_all_but_training_and_backbones_runs_without_torch(tmp_path: Path) -> None:
    file = written(SMALL, tmp_path).embedder
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH, file], check=True, capture_output=True, text=True
    )
    failed = json.loads(done.stdout.splitlines()[-1])
    assert not [name for name in failed if not name.startswith(NEED_TORCH)]
    assert "services.embedder.models.backbones" in failed

"""Weights that are missing, wrong, hostile or another network's are named for what they are."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.models.backbones import backbone_named
from services.embedder.models.pooling import Pooling
from services.embedder.models.weights import digest, load_backbone

RESNET = backbone_named("resnet18")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(3)
    found: dict[str, Tensor] = RESNET.build().state_dict()
    return found


def saved(folder: Path, content: object) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path)
    return path


def load(path: Path, sha256: str = "") -> nn.Module:
    return load_backbone(RESNET, path, sha256, Pooling.AVERAGE).model


def identity(model: nn.Module) -> str:
    return digest(RESNET.features(model))


def test_a_state_dict_and_its_safetensors_are_the_same_model(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    safe = tmp_path / "weights.safetensors"
    save_file({name: tensor.clone() for name, tensor in state.items()}, safe)

    one, other = load(saved(tmp_path, state)), load(safe)

    assert identity(one) == identity(other)
    assert identity(one) != identity(RESNET.build())
    assert torch.equal(one.state_dict()["conv1.weight"], state["conv1.weight"])


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_checkpoints_of_training_scripts_are_unwrapped(
    tmp_path: Path, state: dict[str, Tensor], wrapper: str
) -> None:
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    path = saved(tmp_path, {"epoch": 3, wrapper: parallel})

    assert identity(load(path)) == identity(load(saved(tmp_path, state)))


def test_a_classifier_of_other_classes_does_not_matter(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    tuned = {**state, "fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    headless = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}

    for given in (tuned, headless):
        model = load(saved(tmp_path, given))
        assert torch.equal(model.state_dict()["conv1.weight"], state["conv1.weight"])


def test_a_layer_of_another_shape_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    wrong = {**state, "layer2.0.conv1.weight": torch.zeros(128, 64, 5, 5)}

    with pytest.raises(InvalidSettings, match=r"layer2\.0\.conv1\.weight is .*5, 5\), not .*3, 3"):
        load(saved(tmp_path, wrong))


def test_a_layer_that_is_lacking_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    partial = {name: tensor for name, tensor in state.items() if name != "bn1.bias"}

    with pytest.raises(InvalidSettings, match=r"lacks bn1\.bias"):
        load(saved(tmp_path, partial))


def test_another_networks_weights_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    with pytest.raises(InvalidSettings, match="unknown"):
        load(saved(tmp_path, {**state, "layer9.weight": torch.zeros(1)}))


def test_the_sha256_is_checked_in_either_case(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = saved(tmp_path, state)
    right = hashlib.sha256(path.read_bytes()).hexdigest()

    load(path, right)
    load(path, right.upper())
    with pytest.raises(MissingWeights, match=right):
        load(path, "0" * 64)


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    path = saved(tmp_path, {"state_dict": Hostile(trace)})
    plain = tmp_path / "plain.pkl"
    plain.write_bytes(pickle.dumps(Hostile(trace), protocol=2))

    for hostile in (path, plain):
        with pytest.raises(MissingWeights):
            load(hostile)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"broken", bytes(100)])
def test_files_that_are_no_weights_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(MissingWeights, match=name):
        load(path)


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}, {"state_dict": {"conv1": "text"}}])
def test_a_file_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(MissingWeights, match="no state dict"):
        load(saved(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"nowhere\.pth"):
        load(tmp_path / "nowhere.pth")


def test_offline_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:1")

    with pytest.raises(MissingWeights, match=r"GAZELOOP_WEIGHTS.*squeezenet1_0"):
        load_backbone(RESNET, None, "", Pooling.AVERAGE)

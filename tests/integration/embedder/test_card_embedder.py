"""ONNX files and timm's networks: the vectors that torch gives, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.ops import roi_align

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.embedder import Embedder
from services.embedder.models.choosing import embedder_of
from services.embedder.models.model_card import ModelCard
from services.embedder.models.onnx_graph import _by_onnx_runtime, open_graph
from services.runtime.settings import Settings
from tests.integration.embedder.pictures import BOXES, picture
from tests.unit.embedder.foreign import (
    CHANNELS,
    PATCH,
    SIDE,
    Features,
    cnn,
    transformer,
    write_card,
    write_onnx,
)

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
COSINE = 0.9999


def prepared(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(1, 3, H, W), reckoned without the embedder's code."""
    scaled = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = torch.from_numpy(np.array(scaled)).float() / 255
    return ((values - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(2, 0, 1)[None]


def on_map(cells: Tensor, image: Image.Image) -> Tensor:
    """The boxes' means by torchvision on a (1, C, H, W) map."""
    extent = torch.tensor([cells.shape[3], cells.shape[2]]) / torch.tensor(image.size)
    starts = torch.from_numpy(BOXES[:, :2]) * extent
    ends = torch.from_numpy(BOXES[:, :2] + BOXES[:, 2:]) * extent
    corners = torch.cat([starts, ends], dim=1).float()
    means: Tensor = roi_align(cells, [corners], 7, aligned=True).mean(dim=(2, 3))
    return means


def least_cosine(found: NDArray[np.float32], expected: Tensor) -> float:
    other = nn.functional.normalize(expected.double(), dim=-1).numpy()
    return float((found * other).sum(axis=-1).min())


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    path = write_onnx(
        tmp_path / "vit.onnx", Features(transformer()), ("tokens", "pooled"), sides=False
    )
    write_card(path)
    return path


def write_determinants(path: Path) -> Path:
    """A network with an operator that OpenVINO lacks, and its card."""
    shape: list[int | str | None] = ["n", 3, 32, 32]
    nodes = [
        onnx.helper.make_node("Det", ["pixels"], ["determinants"]),
        onnx.helper.make_node("Unsqueeze", ["determinants", "axes"], ["scale"]),
        onnx.helper.make_node("Mul", ["pixels", "scale"], ["cells"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "determinants",
        [onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("cells", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3])],
    )
    versions = [onnx.helper.make_opsetid("", 17)]
    network = onnx.helper.make_model(graph, opset_imports=versions, ir_version=8)
    path.write_bytes(network.SerializeToString())
    size = {"width": 32, "height": 32}
    write_card(path, input=size, regions={"kind": "map", "output": "cells"})
    return path


def opened(path: Path, **changed: Any) -> Embedder:
    given = {"region_encoder": "roi", "torch_threads": 1} | changed
    return embedder_of(Settings.model_validate({"embedder": str(path)} | given))


def test_patch_tokens_give_the_vectors_that_torch_gives(vit: Path) -> None:
    image = picture()
    (found,) = opened(vit).embed([image], [BOXES])
    with torch.inference_mode():
        tokens = transformer().forward_features(prepared(image, (SIDE, SIDE)))[:, 1:]
        cells = tokens.reshape(1, SIDE // PATCH, SIDE // PATCH, CHANNELS).permute(0, 3, 1, 2)
        assert least_cosine(found.frame[None], tokens.mean(dim=1)) >= COSINE
        assert least_cosine(found.regions, on_map(cells, image)) >= COSINE


@pytest.mark.parametrize(("frame", "number"), [("first_token", 0), ("pooled", 1)])
def test_a_frames_vector_may_be_the_first_token_or_an_output(
    vit: Path, frame: str, number: int
) -> None:
    write_card(vit, frame=frame)
    image = picture()
    (found,) = opened(vit).embed([image], [BOXES[:0]])
    with torch.inference_mode():
        outputs = Features(transformer())(prepared(image, (SIDE, SIDE)))
    expected = outputs[0][:, 0] if number == 0 else outputs[1]
    assert least_cosine(found.frame[None], expected) >= COSINE
    assert found.regions.shape == (0, CHANNELS)


def test_a_cnns_map_keeps_the_frames_aspect_ratio(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "cnn.onnx", cnn(), ("cells",), sides=True)
    scaled = {"longer_side": 96, "multiple_of": 16, "crop_side": 32}
    write_card(path, input=scaled, regions={"kind": "map", "output": "cells"})
    image = picture(120, 80)
    (found,) = opened(path).embed([image], [BOXES])
    with torch.inference_mode():
        cells = cnn()(prepared(image, (96, 64)))
        assert least_cosine(found.frame[None], cells.mean(dim=(2, 3))) >= COSINE
        assert least_cosine(found.regions, on_map(cells, image)) >= COSINE


def test_crops_are_passes_of_their_own(vit: Path) -> None:
    image = picture()
    embedder = opened(vit, region_encoder="crop")
    (found,) = embedder.embed([image], [np.array([[0.0, 0.0, 128.0, 96.0]])])
    assert embedder.region_dimension == 2 * CHANNELS
    # The box is the frame, so both crops are the frame scaled.
    once = found.frame / np.sqrt(2)
    assert np.allclose(found.regions, np.concatenate([once, once]), atol=1e-5)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_onnx_runtime_gives_what_openvino_gives(vit: Path, channels: str) -> None:
    write_card(vit, channels=channels)
    card = ModelCard.model_validate_json(vit.with_suffix(".json").read_bytes())
    pixels = np.stack([np.asarray(picture(SIDE, SIDE, seed)) for seed in range(3)])
    content = vit.read_bytes()
    one = open_graph(content, card, threads=1)(pixels)
    other = _by_onnx_runtime(content, card, 1, RuntimeError("no such operator"), bf16=False)(pixels)
    assert np.allclose(one["tokens"], other["tokens"], atol=1e-4)


def test_a_network_that_openvino_lacks_an_operator_for_runs_in_full_precision_only(
    tmp_path: Path,
) -> None:
    path = write_determinants(tmp_path / "determinants.onnx")
    embedder = opened(path)
    assert "bf16" not in embedder.model_id
    with pytest.raises(InvalidSettings, match="set GAZELOOP_EMBED_PRECISION=fp32"):
        opened(path, embed_precision="bf16")


def test_one_image_at_a_time_gives_the_same(tmp_path: Path, vit: Path) -> None:
    single = write_onnx(
        tmp_path / "one.onnx",
        Features(transformer()),
        ("tokens", "pooled"),
        batch=False,
        sides=False,
    )
    write_card(single)
    images, boxes = [picture(seed=seed) for seed in range(3)], [BOXES] * 3
    for one, other in zip(
        opened(single).embed(images, boxes), opened(vit).embed(images, boxes), strict=True
    ):
        assert np.allclose(one.regions, other.regions, atol=1e-5)


def test_identity_is_the_file_and_the_card(vit: Path) -> None:
    first = opened(vit).model_id
    assert first.startswith("onnx-tiny-vit-average-side64dct-roi7-48d-")
    write_card(vit, licence="MIT")
    assert opened(vit).model_id == first
    write_card(vit, mean=[0.5, 0.5, 0.5])
    assert opened(vit).model_id != first
    write_card(vit)
    write_onnx(vit, Features(transformer(seed=1)), ("tokens", "pooled"), sides=False)
    assert opened(vit).model_id != first


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": [0.5, "x", 0.3]}, "mean"),
        ({"deviation": [0.0, 0.3, 0.3]}, "deviation"),
        ({"licence": None}, "licence: Field required"),
        ({"input": {"width": 32, "height": 64}}, "64 pixels, and the card says 32"),
        ({"input": {"longer_side": 64, "multiple_of": 16, "crop_side": 64}}, "keep their aspect"),
        ({"frame": "pooler"}, "no output 'pooler'; it has pooled, tokens"),
        (
            {"regions": {"kind": "tokens", "output": "tokens", "patch": 8, "first_tokens": 1}},
            "16 patches for 64 x 64 pixels, and the card says 8 x 8",
        ),
        ({"regions": {"kind": "map", "output": "tokens"}}, "4 dimensions are expected"),
    ],
)
def test_a_wrong_card_is_refused_at_the_start(
    vit: Path, changed: dict[str, object], message: str
) -> None:
    write_card(vit, **changed)
    with pytest.raises(InvalidSettings, match=message):
        opened(vit)


def test_what_is_missing_is_named(vit: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="no ONNX file at"):
        opened(tmp_path / "none.onnx")
    with pytest.raises(MissingWeights, match="has the sha256"):
        opened(vit, weights_sha256="00")
    with pytest.raises(InvalidSettings, match="EMBED_RUNTIME is torch"):
        opened(vit, embed_runtime="torch")
    vit.with_suffix(".json").unlink()
    with pytest.raises(InvalidSettings, match="no card at"):
        opened(vit)
    other = tmp_path / "text.onnx"
    other.write_text("not a network")
    write_card(other)
    with pytest.raises(MissingWeights, match="neither OpenVINO"):
        opened(other)


def test_weights_in_another_file_are_refused_with_the_remedy(
    vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted = tmp_path / "parted.onnx"
    network = onnx.load(str(vit))
    onnx.save_model(
        network, str(parted), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    write_card(parted)
    # Both runtimes look for it in the working directory.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingWeights, match=r"another file: .* onnx\.save_model"):
        opened(parted)


def test_a_network_that_fails_on_the_cards_size_is_refused_at_the_start(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "large.onnx", nn.Conv2d(3, 4, SIDE), ("cells",), sides=True)
    regions = {"kind": "map", "output": "cells"}
    write_card(path, input={"width": 32, "height": 32}, regions=regions)
    with pytest.raises(InvalidSettings, match="fails on an image of 32 x 32 pixels"):
        opened(path)


def test_an_overflow_in_one_image_leaves_the_others(tmp_path: Path) -> None:
    class Overflowing(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            bright = (pixels.mean(dim=(1, 2, 3), keepdim=True) > 0).float()
            return nn.functional.avg_pool2d(pixels, PATCH) / (1 - bright)

    path = write_onnx(tmp_path / "odd.onnx", Overflowing(), ("cells",), sides=False)
    write_card(path, regions={"kind": "map", "output": "cells"})
    images = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("white", "black")]
    bright, dark = opened(path).embed(images, [BOXES, BOXES])
    assert np.isfinite(bright.frame).all()
    assert np.linalg.norm(dark.frame) == pytest.approx(1)


def test_an_onnx_file_needs_no_torch(vit: Path) -> None:
    code = """
import sys
from services.embedder.models.choosing import embedder_of
from services.runtime.settings import Settings
from PIL import Image
import numpy as np
embedder = embedder_of(Settings(embedder=sys.argv[1]))
embedder.embed([Image.new("RGB", (80, 60))], [np.array([[1.0, 1.0, 20.0, 20.0]])])
print(embedder.model_id, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(vit)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "False"


@pytest.fixture
def mobilenet(tmp_path: Path) -> Path:
    import timm  # noqa: PLC0415

    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_efficientnet", pretrained=False).state_dict(), path)
    return path


def test_timms_networks_come_by_name_with_their_weights(mobilenet: Path) -> None:
    import timm  # noqa: PLC0415

    settings = {"embedder": "timm:test_efficientnet", "weights": mobilenet}
    embedder = embedder_of(Settings.model_validate(settings | {"region_encoder": "roi"}))
    image = picture()
    (found,) = embedder.embed([image], [BOXES])
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", pretrained=False).eval()
    mean, deviation = (torch.tensor(model.pretrained_cfg[part]) for part in ("mean", "std"))
    scaled = image.resize((384, 288), Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = (torch.from_numpy(np.array(scaled)).float() / 255 - mean) / deviation
    with torch.inference_mode():
        cells = model.forward_features(values.permute(2, 0, 1)[None])
        assert least_cosine(found.frame[None], cells.mean(dim=(2, 3))) >= COSINE
        assert least_cosine(found.regions, on_map(cells, image)) >= COSINE
    assert embedder.model_id.startswith("timm-test_efficientnet-average-side384dct-roi7-")


def test_what_timm_lacks_is_named(mobilenet: Path) -> None:
    for given, error, message in (
        ({"embedder": "timm:no_such"}, InvalidSettings, "has no network 'no_such'"),
        ({"embedder": "timm:test_vit"}, MissingWeights, "needs its weights"),
        ({"embedder": "timm:test_vit", "weights": mobilenet}, InvalidSettings, "does not fit"),
        ({"embedder": "timm:test_vit", "embed_precision": "bf16"}, InvalidSettings, "is bf16"),
        ({"embedder": "timm:test_vit", "embed_precision": "int8"}, InvalidSettings, "is int8"),
        ({"embedder": "timm:test_vit", "embed_runtime": "cuda"}, InvalidSettings, "is cuda"),
    ):
        with pytest.raises(error, match=message):
            embedder_of(Settings.model_validate(given))


def test_a_card_is_json_as_the_docs_show_it() -> None:
    page = Path("docs/embedding.md").read_text()
    cards = [part.split("```")[0] for part in page.split("```json\n")[1:]]
    assert [ModelCard.model_validate(json.loads(card)).name for card in cards]

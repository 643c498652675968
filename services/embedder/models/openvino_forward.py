"""Computes a backbone's features with OpenVINO."""

import warnings

import torch
from torch import Tensor, nn

from services.embedder.models.crops import Pixels
from services.embedder.models.normalising import Normalise
from services.embedder.models.openvino_requests import OpenVinoRequests, hint, openvino
from services.embedder.models.precision import Precision


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
        self._run = OpenVinoRequests(model, hint(precision), threads)

    def __call__(self, pixels: Pixels) -> Tensor:
        (maps,) = self._run(pixels)
        return torch.from_numpy(maps)

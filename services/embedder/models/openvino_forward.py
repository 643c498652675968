"""Computes a network's features with OpenVINO, which compiles the network for this CPU."""

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from services.embedder.models.crops import Normalise, Pixels
from services.embedder.models.forward import Precision

# OpenVINO reports every import and conversion to its makers unless this package is missing. Survey
# machines must not send telemetry.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python marks it missing

import openvino  # noqa: E402  # after the above

from services.contracts.errors import UnfitInt8  # noqa: E402
from services.embedder.models.int8 import Quantised  # noqa: E402

_PIXELS_PER_REQUEST = 384 * 224
"""One frame, or crops with as many pixels, so that activations fit into a core's cache."""
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
    """A Forward on OpenVINO, in which each core computes one frame at a time.

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
        compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": str(threads),
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                # With pinning, several processes would be pinned to the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._requests = openvino.AsyncInferQueue(compiled, threads)

    def __call__(self, pixels: Pixels) -> Tensor:
        count, height, width = pixels.shape[:3]
        size = max(_PIXELS_PER_REQUEST // (height * width), 1)
        maps: list[Pixels] = [pixels] * -(-count // size)

        def keep(request: openvino.InferRequest, place: int) -> None:
            maps[place] = request.get_output_tensor(0).data.copy()

        self._requests.set_callback(keep)
        for place in range(len(maps)):
            self._requests.start_async({0: pixels[place * size : (place + 1) * size]}, place)
        self._requests.wait_all()
        return torch.from_numpy(np.concatenate(maps))

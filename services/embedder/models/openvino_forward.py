"""The features by OpenVINO, which reads a network once and lays it out for this CPU."""

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from services.embedder.models.crops import Normalise, Pixels
from services.embedder.models.forward import Precision

# OpenVINO tells its makers of every import and conversion unless this package is missing. Survey
# machines are not to call anybody.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python marks it missing

import openvino  # noqa: E402  # after the above

from services.contracts.errors import UnfitInt8  # noqa: E402
from services.embedder.models.int8 import Quantised  # noqa: E402

_PIXELS_PER_REQUEST = 384 * 224
"""A frame, or as many crops: activations then stay in the core's own cache."""
_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""Of what is not quantised: a network in 8 bits says by itself what is."""


def converted(features: nn.Module) -> openvino.Model:
    """The features as OpenVINO's model, from (N, H, W, 3) uint8 of any N, H and W."""
    example = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        # OpenVINO reads torch's traces. torch would rather have its models exported, which takes
        # ten times as long, and says so; the rest is about sizes, and tests look at several.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(
            nn.Sequential(Normalise(), features).eval(), example_input=example
        )
    model.reshape([-1, -1, -1, 3])
    return model


def read(quantised: Quantised) -> openvino.Model:
    """A network in 8 bits, as OpenVINO's model.

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
    """OpenVINO's model as `read` takes it."""
    with TemporaryDirectory() as folder:
        graph, values = Path(folder) / "network.xml", Path(folder) / "network.bin"
        openvino.serialize(model, graph, values)
        return Quantised(graph.read_bytes(), values.read_bytes())


class OpenVinoForward:
    """By OpenVINO: a core computes one frame at a time, and all cores compute.

    Parameters
    ----------
    threads : cores to be used
    calibrated : sha256 of the model, where it is quantised
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
                # Another process on the machine would be pinned to the same cores.
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

"""The features by OpenVINO, which reads a network once and lays it out for this CPU."""

import sys
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from services.embedder.crops import Normalise, Pixels
from services.embedder.forward import Precision

# OpenVINO tells its makers of every import and conversion unless this package is missing. Survey
# machines are not to call anybody.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python marks it missing

import openvino  # noqa: E402  # after the above

_PIXELS_PER_REQUEST = 384 * 224
"""A frame, or as many crops: activations then stay in the core's own cache."""
_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16"}


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


class OpenVinoForward:
    """By OpenVINO: a core computes one frame at a time, and all cores compute.

    Parameters
    ----------
    threads : cores to be used
    """

    device = torch.device("cpu")

    def __init__(self, model: openvino.Model, precision: Precision, threads: int) -> None:
        self.precision = precision
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

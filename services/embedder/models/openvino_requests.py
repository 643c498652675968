"""Runs a network with OpenVINO, which compiles it for this CPU."""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.embedder.models.crops import Pixels
from services.embedder.models.precision import Precision

# OpenVINO reports every import and conversion to its makers unless this package is missing. Survey
# machines must not send telemetry.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python marks it missing

import openvino  # noqa: E402  # after the above

__all__ = ["OpenVinoRequests", "hint", "openvino"]

_PIXELS_PER_REQUEST = 384 * 224
"""One frame, or crops with as many pixels, so that activations fit into a core's cache."""


def hint(precision: Precision) -> str:
    """OpenVINO's name for the numbers of layers that are not quantised."""
    # An int8 network itself declares which of its layers are.
    return "bf16" if precision is Precision.BF16 else "f32"


class OpenVinoRequests:
    """A compiled network from pixels to its outputs; each core computes one frame at a time.

    Parameters
    ----------
    model : takes (N, H, W, 3) uint8
    hint : OpenVINO's name for the numbers of layers that are not quantised
    threads : number of cores to use
    images : most images per request
    """

    def __init__(
        self, model: openvino.Model, hint: str, threads: int, images: int | None = None
    ) -> None:
        self._images = images
        self._outputs = len(model.outputs)
        compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": str(threads),
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": hint,
                # With pinning, several processes would be pinned to the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._requests = openvino.AsyncInferQueue(compiled, threads)

    def __call__(self, pixels: Pixels) -> list[NDArray[np.float32]]:
        """(N, H, W, 3) uint8 to every output of the model, in its order."""
        count, height, width = pixels.shape[:3]
        size = max(_PIXELS_PER_REQUEST // (height * width), 1)
        size = min(size, self._images or size)
        parts: list[Sequence[NDArray[np.float32]]] = [()] * -(-count // size)

        def keep(request: openvino.InferRequest, place: int) -> None:
            parts[place] = [
                request.get_output_tensor(number).data.copy() for number in range(self._outputs)
            ]

        self._requests.set_callback(keep)
        for place in range(len(parts)):
            self._requests.start_async({0: pixels[place * size : (place + 1) * size]}, place)
        self._requests.wait_all()
        return [np.concatenate(output) for output in zip(*parts, strict=True)]

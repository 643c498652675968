"""Runs an ONNX file: by OpenVINO, or by ONNX Runtime where OpenVINO lacks an operator.

Nothing in the file is executed but its graph: no Python code, no custom operators' libraries, no
other files that it names.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.models.crops import Pixels
from services.embedder.models.model_card import FixedInput, ModelCard
from services.embedder.models.openvino_requests import OpenVinoRequests, openvino

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Outputs = Mapping[str, NDArray[np.float32]]
log = structlog.get_logger(__name__)
_RANK = 4
_CHANNELS = 3
_EXTERNAL = re.compile(rb"\x6a.{1,3}\n\x08location\x12", re.DOTALL)
"""The place of weights in another file, TensorProto.external_data in onnx/onnx.proto.

OpenVINO would read it from the working directory, and it has no part in the model's identity.
"""


class Graph(Protocol):
    """A network, from pixels to its named outputs; not thread-safe."""

    def __call__(self, pixels: Pixels) -> Outputs:
        """(N, H, W, 3) uint8 RGB to float32 arrays, by the outputs' names."""
        ...


def open_graph(content: bytes, card: ModelCard, *, threads: int, bf16: bool = False) -> Graph:
    """Compile the outputs that the card names.

    Parameters
    ----------
    content : of the ONNX file
    threads : number of cores to use

    Raises
    ------
    MissingWeights
        The content is no ONNX network, or keeps its weights in another file.
    InvalidSettings
        The network's input or outputs differ from the card's, or `bf16` needs OpenVINO, which
        lacks an operator.
    """
    if _EXTERNAL.search(content):
        raise MissingWeights(
            "the ONNX file keeps its weights in another file: put them inside, with"
            " onnx.save_model(onnx.load(FILE), NEW_FILE)"
        )
    try:
        model = openvino.Core().read_model(content)
    except RuntimeError as exc:
        return _by_onnx_runtime(content, card, threads, exc, bf16=bf16)
    batch = _checked_input(_shape(model.inputs), card)
    prepared = _with_preparation(_with_outputs(model, card.outputs), card)
    try:
        run = OpenVinoRequests(prepared, "bf16" if bf16 else "f32", threads, batch)
    except RuntimeError as exc:
        return _by_onnx_runtime(content, card, threads, exc, bf16=bf16)
    return _OpenVinoGraph(run, card.outputs)


class _OpenVinoGraph:
    def __init__(self, run: OpenVinoRequests, outputs: tuple[str, ...]) -> None:
        self._run = run
        self._outputs = outputs

    def __call__(self, pixels: Pixels) -> Outputs:
        found = zip(self._outputs, self._run(pixels), strict=True)
        return {name: array.astype(np.float32, copy=False) for name, array in found}


def _shape(inputs: "list[openvino.Output]") -> list[int | None]:
    if len(inputs) != 1:
        raise InvalidSettings(f"the network has {len(inputs)} inputs; one, the pixels, is expected")
    return [d.get_length() if d.is_static else None for d in inputs[0].get_partial_shape()]


def _checked_input(shape: list[int | None], card: ModelCard) -> int | None:
    """Most images per pass; None for any number."""
    batch, channels, height, width = shape if len(shape) == _RANK else [None] * _RANK
    if len(shape) != _RANK or channels not in (None, _CHANNELS):
        raise InvalidSettings(f"the network's input is {shape}; (N, 3, H, W) is expected")
    if batch not in (None, 1):
        raise InvalidSettings(
            f"the network takes {batch} images at a time: export it for one, or for any number"
        )
    for side, name in ((height, "height"), (width, "width")):
        declared = getattr(card.input, name) if isinstance(card.input, FixedInput) else None
        if side is not None and side != declared:
            raise InvalidSettings(
                f"the network's input has a {name} of {side} pixels, and the card says"
                f" {declared or 'that frames keep their aspect ratio'}"
            )
    return batch


def _with_outputs(model: "openvino.Model", names: tuple[str, ...]) -> "openvino.Model":
    found = {name: output for output in model.outputs for name in output.get_names()}
    for name in names:
        if name not in found:
            raise InvalidSettings(
                f"the network has no output {name!r}; it has {', '.join(sorted(found))}"
            )
    return openvino.Model([found[name] for name in names], model.get_parameters())


def _with_preparation(model: "openvino.Model", card: ModelCard) -> "openvino.Model":
    """The model from uint8 RGB pixels: their normalisation becomes part of the graph."""
    steps = openvino.preprocess.PrePostProcessor(model)
    pixels = steps.input()
    pixels.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    pixels.model().set_layout(openvino.Layout("NCHW"))
    prepare = pixels.preprocess().convert_element_type(openvino.Type.f32)
    if card.channels == "bgr":
        prepare.reverse_channels()
    prepare.mean([255 * value for value in card.mean])
    prepare.scale([255 * value for value in card.deviation])
    for number in range(len(model.outputs)):
        steps.output(number).tensor().set_element_type(openvino.Type.f32)
    return steps.build()


def _by_onnx_runtime(
    content: bytes, card: ModelCard, threads: int, cause: Exception, *, bf16: bool
) -> Graph:
    reason = str(cause).strip().splitlines()[-1][:300] if str(cause).strip() else "no reason given"
    try:
        # An extra, which most installations lack.
        import onnxruntime  # noqa: PLC0415
    except ImportError:
        raise MissingWeights(
            f"OpenVINO cannot run the network ({reason}). If it is a whole ONNX file, with its"
            " weights inside, try ONNX Runtime: pip install 'gazeloop[onnxruntime]'"
        ) from cause
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as exc:  # its errors have no common base but this
        raise MissingWeights(
            f"neither OpenVINO ({reason}) nor ONNX Runtime ({str(exc)[:300]}) can run the network:"
            " is it a whole ONNX file, with its weights inside?"
        ) from exc
    if bf16:
        raise InvalidSettings(
            f"OpenVINO cannot run the network ({reason}), and ONNX Runtime computes in full"
            " precision only: set GAZELOOP_EMBED_PRECISION=fp32"
        )
    log.info("onnx_runtime_chosen", reason=reason)
    return _OnnxRuntimeGraph(session, card)


class _OnnxRuntimeGraph:
    def __init__(self, session: "InferenceSession", card: ModelCard) -> None:
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise InvalidSettings(f"the network has {len(inputs)} inputs; one is expected")
        self._session, self._card, self._input = session, card, inputs[0].name
        shape = [side if isinstance(side, int) else None for side in inputs[0].shape]
        self._batch = _checked_input(shape, card)
        found = [output.name for output in session.get_outputs()]
        for name in card.outputs:
            if name not in found:
                raise InvalidSettings(
                    f"the network has no output {name!r}; it has {', '.join(found)}"
                )
        self._half = inputs[0].type == "tensor(float16)"

    def __call__(self, pixels: Pixels) -> Outputs:
        card = self._card
        values = pixels[..., ::-1] if card.channels == "bgr" else pixels
        mean, deviation = np.array([card.mean, card.deviation], np.float32)
        prepared = (values / np.float32(255) - mean) / deviation
        inputs = prepared.transpose(0, 3, 1, 2).astype(np.float16 if self._half else np.float32)
        size = self._batch or len(inputs)
        parts = [
            self._session.run(list(card.outputs), {self._input: inputs[start : start + size]})
            for start in range(0, len(inputs), size)
        ]
        joined = (np.concatenate(output) for output in zip(*parts, strict=True))
        return {
            name: array.astype(np.float32, copy=False)
            for name, array in zip(card.outputs, joined, strict=True)
        }

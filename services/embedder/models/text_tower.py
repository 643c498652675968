"""The text tower of a pair such as CLIP's or SigLIP's: texts in the space of a frame's vector."""

from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import structlog
from numpy.typing import NDArray

from services.contracts.errors import InvalidSettings, MissingPart, MissingWeights
from services.domain.arrays import Vector
from services.domain.unit_vectors import scaled_to_unit
from services.embedder.models.checked_file import checked_content
from services.embedder.models.model_card import TextPart, read_card
from services.embedder.models.openvino_requests import hint, openvino
from services.embedder.models.precision import Precision
from services.runtime.settings import Settings

ONNX_SUFFIX = ".onnx"
log = structlog.get_logger(__name__)


class TextTower:
    """Tokenises a text and runs the tower's graph, in OpenVINO.

    Parameters
    ----------
    part : of the card
    folder : where the card and the files that it names are
    """

    def __init__(self, part: TextPart, folder: Path) -> None:
        self._part = part
        self._tokenizer = _tokenizer(folder / part.tokenizer, part.length)
        content = checked_content(folder / part.file, "", "text tower", MissingWeights)
        try:
            model = openvino.Core().read_model(content)
            # As the image tower: by default, OpenVINO takes bfloat16 where the CPU has it.
            self._compiled = openvino.Core().compile_model(
                model, "CPU", {"INFERENCE_PRECISION_HINT": hint(Precision.FP32)}
            )
        except RuntimeError as exc:
            raise MissingWeights(f"OpenVINO cannot run {folder / part.file}: {exc}") from exc
        self._inputs = {name for port in model.inputs for name in port.get_names()}
        outputs = {name for port in model.outputs for name in port.get_names()}
        for name, known in ((part.input, self._inputs), (part.output, outputs)):
            if name not in known:
                raise InvalidSettings(
                    f"{folder / part.file} has no {name!r}; it has {', '.join(sorted(known))}"
                )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The text tower in the card of the embedder that the settings name.

        Raises
        ------
        InvalidSettings
            The embedder has none, or its frames' vectors are not in the text's space.
        MissingWeights, MissingPart
            A file that the card names is missing or unreadable; tokenizers is not installed.
        """
        if not settings.embedder.endswith(ONNX_SUFFIX):
            raise InvalidSettings(
                f"the embedder {settings.embedder} has no text tower: texts need an ONNX pair such"
                " as CLIP or SigLIP, see docs/embedding.md"
            )
        path = Path(settings.embedder)
        card = read_card(path)
        if card.text is None:
            raise InvalidSettings(f"the card of {path} names no text tower (`text`)")
        if card.frame_output is None:
            raise InvalidSettings(
                f"the card of {path} takes frames' vectors from {card.frame!r}; texts share the"
                " space of an output such as image_embeds"
            )
        return cls(card.text, path.parent)

    def embed(self, text: str) -> Vector:
        """The text's vector, (F,) float32 of unit length; what is too long is cut off.

        Raises
        ------
        InvalidSettings
            The tower gives no vector of finite numbers.
        """
        part = self._part
        tokens = self._tokenizer.encode(text).ids
        padded = np.full((1, part.length), part.padding, np.int64)
        padded[0, : len(tokens)] = tokens
        inputs: dict[str, NDArray[np.int64]] = {part.input: padded}
        if part.mask is not None and part.mask in self._inputs:
            inputs[part.mask] = (np.arange(part.length) < len(tokens)).astype(np.int64)[None]
        (found,) = np.asarray(self._compiled(inputs)[part.output], np.float32)
        if found.ndim != 1 or not np.isfinite(found).all():
            raise InvalidSettings(f"the text tower gives {found.shape} for one text, or no numbers")
        return scaled_to_unit(found)


def _tokenizer(file: Path, length: int) -> Any:
    try:
        tokenizers = import_module("tokenizers")
    except ModuleNotFoundError as exc:
        raise MissingPart("texts need tokenizers: pip install 'gazeloop[text]'") from exc
    try:
        found = tokenizers.Tokenizer.from_file(str(file))
    except Exception as exc:  # its errors have no common base but this
        raise MissingWeights(f"no tokenizer in {file}: {exc}") from exc
    # The card defines the length and the token. Truncation keeps the token that ends a text, whose
    # vector is the text's in CLIP.
    found.no_padding()
    found.enable_truncation(length)
    return found

"""The file format of an exported network, which embeds without torch.

`gazeloop models export` writes it: the backbone up to its tap as OpenVINO's network, the whitening
if there is one, and a card.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.contracts.errors import MissingWeights
from services.embedder.models.backbone_identity import BackboneIdentity
from services.embedder.models.checked_file import checked_content
from services.embedder.models.network_archive import CARD, packed, unpacked
from services.embedder.models.openvino_files import GRAPH, VALUES, OpenVinoFiles
from services.embedder.models.whitening import Whitening

_WHITENING = "whitening.safetensors"
_WHAT = "exported network"


class ExportCard(BaseModel):
    """The card in the file.

    Attributes
    ----------
    least_side : least pixels of a frame's shorter side, below which the map is empty
    sha256 : of the other parts
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: BackboneIdentity
    least_side: int
    sha256: str


@dataclass(frozen=True)
class ExportedNetwork:
    """A backbone up to its tap, and what its head does with the average of the map."""

    identity: BackboneIdentity
    least_side: int
    network: OpenVinoFiles
    whitening: Whitening | None

    def content(self) -> bytes:
        """The file's content; `read_exported` is the inverse."""
        parts = {GRAPH: self.network.graph, VALUES: self.network.values}
        if self.whitening is not None:
            parts[_WHITENING] = save(
                {"mean": self.whitening.mean, "projection": self.whitening.projection}
            )
        card = ExportCard(identity=self.identity, least_side=self.least_side, sha256=_digest(parts))
        return packed({**parts, CARD: card.model_dump_json(indent=2).encode()})


def read_exported(path: Path, sha256: str) -> ExportedNetwork:
    """Read an exported network.

    Parameters
    ----------
    sha256 : of the file, in hexadecimal; empty for any

    Raises
    ------
    MissingWeights
        There is no such file, it is damaged, or it has another sha256.
    """
    content = checked_content(path, sha256, _WHAT, MissingWeights)
    parts = unpacked(path, content, _WHAT, MissingWeights)
    try:
        card = ExportCard.model_validate_json(parts.pop(CARD))
        if _digest(parts) != card.sha256:
            raise MissingWeights(f"{path} is damaged: its parts do not match its card's sha256")
        whitening = _whitening(parts[_WHITENING]) if card.identity.whitened else None
        network = OpenVinoFiles(parts[GRAPH], parts[VALUES])
    except (LookupError, ValidationError, SafetensorError) as exc:
        raise MissingWeights(f"{path} is damaged, or no {_WHAT}: {exc}") from exc
    return ExportedNetwork(card.identity, card.least_side, network, whitening)


def _whitening(content: bytes) -> Whitening:
    held = load(content)
    return Whitening(held["mean"].astype(np.float32), held["projection"].astype(np.float32))


def _digest(parts: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in sorted(parts.items()):
        total.update(name.encode())
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()

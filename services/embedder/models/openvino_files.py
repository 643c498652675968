"""A network in OpenVINO's own format: its graph and its values."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from services.contracts.errors import Fatal
from services.embedder.models.openvino_requests import openvino

GRAPH: Final = "network.xml"
VALUES: Final = "network.bin"
"""The names of both files, in a folder and in an archive."""


@dataclass(frozen=True)
class OpenVinoFiles:
    """The content of both files."""

    graph: bytes
    values: bytes

    @classmethod
    def of(cls, model: openvino.Model) -> "OpenVinoFiles":
        """Serialise a model; `model` is the inverse."""
        with TemporaryDirectory() as folder:
            graph, values = Path(folder) / GRAPH, Path(folder) / VALUES
            openvino.serialize(model, graph, values)
            return cls(graph.read_bytes(), values.read_bytes())

    @property
    def sha256(self) -> str:
        """sha256 of both, in hexadecimal, which identifies the network."""
        total = hashlib.sha256(self.graph)
        total.update(self.values)
        return total.hexdigest()

    def model(self, error: type[Fatal]) -> openvino.Model:
        """Read the network.

        Parameters
        ----------
        error : raised if OpenVINO cannot read it
        """
        try:
            return openvino.Core().read_model(self.graph, self.values)
        except RuntimeError as exc:
            version = openvino.__version__
            raise error(f"OpenVINO {version} cannot read the network: {exc}") from exc

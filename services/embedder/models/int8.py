"""The file format of an int8 network, which is checked at every load.

`gazeloop calibrate` writes it (training/calibration.py): an uncompressed zip of OpenVINO's network
and a card with the data that it was calibrated on and its measured accuracy.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.contracts.errors import UnfitInt8
from services.embedder.models.checked_file import checked_content
from services.embedder.models.network import Network
from services.embedder.models.network_archive import CARD, packed, unpacked
from services.embedder.models.openvino_files import GRAPH, VALUES, OpenVinoFiles

_STRICT = ConfigDict(frozen=True, extra="forbid")


class CalibrationData(BaseModel):
    """The data that a network was calibrated on.

    Attributes
    ----------
    pictures : number of frames and crops from which the value ranges were taken
    """

    model_config = _STRICT

    source: str
    frames: int
    frames_held_out: int
    drives_held_out: int
    unreadable_frames: int
    pictures: int


class Cosines(BaseModel):
    """Cosines between int8 and full-precision vectors."""

    model_config = _STRICT

    count: int
    least: float
    mean: float


class Faithfulness(BaseModel):
    """Agreement with full precision on held-out drives.

    Attributes
    ----------
    queries : number of regions with another of their category on another held-out drive
    map_before, map_after : mAP@100 of these queries, in full precision and in int8
    """

    model_config = _STRICT

    frames: Cosines
    regions: Cosines
    queries: int
    map_before: float
    map_after: float


class Card(BaseModel):
    """The card in the file.

    Attributes
    ----------
    network_sha256 : of the original full-precision network
    sha256 : of the quantised network, graph and values
    """

    model_config = _STRICT

    name: str
    pooling: str
    network_sha256: str
    sha256: str
    data: CalibrationData
    measured: Faithfulness
    made_with: str


def written(network: OpenVinoFiles, card: Card) -> bytes:
    """The network and its card as one file."""
    return packed(
        {
            GRAPH: network.graph,
            VALUES: network.values,
            CARD: card.model_dump_json(indent=2).encode(),
        }
    )


def read_int8(path: Path | None, sha256: str, network: Network) -> OpenVinoFiles:
    """Read the quantised features of this network from a file.

    Parameters
    ----------
    sha256 : of the file, in hexadecimal; empty for any

    Raises
    ------
    UnfitInt8
        No file is set, it does not match its card or the sha256, or it is another network's.
    """
    if path is None:
        raise UnfitInt8("GAZELOOP_EMBED_PRECISION is int8, and GAZELOOP_EMBED_INT8 names no file")
    content = checked_content(path, sha256, "8-bit network", UnfitInt8)
    quantised, card = _read(path, content)
    if quantised.sha256 != card.sha256:
        raise UnfitInt8(f"{path} is damaged: its network is not the one of its card's sha256")
    made_of = (card.name, card.pooling, card.network_sha256)
    wanted = (network.backbone.name, network.pooling.value, network.sha256)
    if made_of != wanted:
        raise UnfitInt8(f"{path} is made of {_named(*made_of)}, and not of {_named(*wanted)}")
    return quantised


def _read(path: Path, content: bytes) -> tuple[OpenVinoFiles, Card]:
    parts = unpacked(path, content, "8-bit network", UnfitInt8)
    try:
        files = OpenVinoFiles(parts[GRAPH], parts[VALUES])
        return files, Card.model_validate_json(parts[CARD])
    except (LookupError, ValidationError) as exc:
        raise UnfitInt8(f"{path} is damaged, or no 8-bit network: {exc}") from exc


def _named(name: str, pooling: str, sha256: str) -> str:
    return f"{name} by {pooling} with the weights {sha256[:8]}"

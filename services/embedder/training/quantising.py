"""Quantises a network's features to int8 with NNCF and OpenVINO."""

import importlib.util
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO

from services.contracts.errors import MissingPart
from services.embedder.models.crops import Pixels
from services.embedder.models.network import Network
from services.embedder.models.openvino_files import OpenVinoFiles
from services.embedder.models.openvino_forward import converted


def quantised(network: Network, pictures: Sequence[Pixels]) -> OpenVinoFiles:
    """Quantise the features to int8, with value ranges from these images.

    Parameters
    ----------
    pictures : (1, H, W, 3) uint8 each, of any size

    Raises
    ------
    MissingPart
        NNCF is not installed.
    """
    require_nncf()
    # Imported only when used: an optional package whose import takes seconds.
    import nncf  # noqa: PLC0415

    logging.getLogger("nncf").setLevel(logging.ERROR)
    # NNCF draws progress bars on standard output.
    with redirect_stdout(StringIO()):
        int8_network = nncf.quantize(
            converted(network.features), nncf.Dataset(pictures), subset_size=len(pictures)
        )
    return OpenVinoFiles.of(int8_network)


def require_nncf() -> None:
    """Check for NNCF before any long work.

    Raises
    ------
    MissingPart
        NNCF is not installed.
    """
    if importlib.util.find_spec("nncf") is None:
        raise MissingPart("calibrating needs NNCF: pip install 'gazeloop[int8]'")


def made_with() -> str:
    """The versions of NNCF and OpenVINO, for the card."""
    return f"nncf {version('nncf')}, openvino {version('openvino')}"

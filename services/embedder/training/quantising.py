"""A network's features in 8-bit numbers, by NNCF and OpenVINO."""

import importlib.util
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO

from services.contracts.errors import MissingPart
from services.embedder.models.crops import Pixels
from services.embedder.models.int8 import Quantised
from services.embedder.models.network import Network
from services.embedder.models.openvino_forward import converted, written


def quantised(network: Network, pictures: Sequence[Pixels]) -> Quantised:
    """The features in 8-bit numbers, whose ranges are those that these pictures give.

    Parameters
    ----------
    pictures : (1, H, W, 3) uint8 each, of any size

    Raises
    ------
    MissingPart
        NNCF is not installed.
    """
    require_nncf()
    # It takes seconds to import, and few have it.
    import nncf  # noqa: PLC0415

    logging.getLogger("nncf").setLevel(logging.ERROR)
    # It draws bars of its own on standard output.
    with redirect_stdout(StringIO()):
        made = nncf.quantize(
            converted(network.features), nncf.Dataset(pictures), subset_size=len(pictures)
        )
    return written(made)


def require_nncf() -> None:
    """See that NNCF is there, before anything takes long.

    Raises
    ------
    MissingPart
        It is not.
    """
    if importlib.util.find_spec("nncf") is None:
        raise MissingPart("calibrating needs NNCF: pip install 'gazeloop[int8]'")


def made_with() -> str:
    """NNCF and OpenVINO, with their versions."""
    return f"nncf {version('nncf')}, openvino {version('openvino')}"

"""Exports a backbone with its weights, so that embedding needs no torch."""

from services.contracts.errors import InvalidSettings
from services.embedder.models.exported_network import ExportedNetwork
from services.embedder.models.int8 import read_int8
from services.embedder.models.network import Network, load_network
from services.embedder.models.openvino_files import OpenVinoFiles
from services.embedder.models.openvino_forward import converted
from services.embedder.models.precision import Precision
from services.embedder.models.whitening import Whitening
from services.runtime.settings import Settings


def exported(settings: Settings) -> ExportedNetwork:
    """The network in the settings; as int8 if the precision in the settings is.

    Raises
    ------
    InvalidSettings
        The head does not average the map; or as from `load_network`.
    MissingWeights, UnfitInt8
        As from `load_network` and `read_int8`.
    """
    network = load_network(settings)
    if not network.head.averages:
        raise InvalidSettings(
            f"{network.backbone.name} by {network.pooling} cannot be exported, because its vectors"
            " are not averages of its map: set GAZELOOP_POOLING=average"
        )
    calibrated, files = "", None
    if Precision(settings.embed_precision) is Precision.INT8:
        files = read_int8(settings.embed_int8, settings.embed_int8_sha256, network)
        calibrated = files.sha256
    return ExportedNetwork(
        network.identity(calibrated),
        network.backbone.least_side,
        files or OpenVinoFiles.of(converted(network.features)),
        _whitening(network),
    )


def _whitening(network: Network) -> Whitening | None:
    head = network.head
    return Whitening(head.mean.numpy(), head.projection.numpy()) if head.whitens else None

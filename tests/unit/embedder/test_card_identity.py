"""The id of a network with a card, which is part of the names of its collections."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from services.embedder.models.card_embedder import CardEmbedder
from services.embedder.models.map_embedder import RegionEncoder
from services.embedder.models.model_card import FixedInput, MapOutput, ModelCard


def embedder(output: str) -> CardEmbedder:
    """Of a network whose frames' vectors are this output."""
    card = ModelCard(
        name="net",
        licence="none",
        input=FixedInput(width=32, height=32),
        regions=MapOutput(output="map"),
        frame=output,
    )

    def graph(pixels: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        count = len(pixels)
        return {"map": np.ones((count, 4, 2, 2), np.float32), output: np.ones((count, 3), "f4")}

    return CardEmbedder(graph, card, source="onnx", sha256="", regions=RegionEncoder.CROP)


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ("image_embeds", "image_embeds"),
        ("/pool/Flatten_output_0", "_pool_Flatten_output_0"),
        ("../../pooled:0", ".._.._pooled_0"),
        ("x" * 200, "x" * 100),
    ],
)
def test_an_outputs_name_may_hold_what_a_collections_may_not(output: str, part: str) -> None:
    assert embedder(output).model_id.startswith(f"onnx-net-{part}-side32-crop")


def test_outputs_that_are_written_alike_are_two_models() -> None:
    assert embedder("/pool").model_id != embedder("_pool").model_id

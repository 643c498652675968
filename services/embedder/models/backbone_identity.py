"""What identifies the vectors of a backbone, whichever library computes them."""

from pydantic import BaseModel, ConfigDict

from services.contracts.identity import ModelId
from services.embedder.models.map_embedder import CONTEXTS, RegionEncoder
from services.embedder.models.precision import Precision

NORMALISED = "imagenet"
"""Name of the pixels' normalisation, which all backbones share."""


class BackboneIdentity(BaseModel):
    """A backbone with weights, as far as it affects vectors.

    Attributes
    ----------
    backbone, tap, pooling : by name
    frame_side, crop_side : pixels of a frame's longer side, and of a crop's sides
    grid : cells per side of RoIAlign
    whitened : whether a whitening follows the pooling
    dimension : of a frame's vector
    sha256 : of all values in full precision, independent of the file's format
    calibrated : sha256 of the int8 network; empty if it is not quantised
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    tap: str
    pooling: str
    frame_side: int
    crop_side: int
    grid: int
    whitened: bool
    dimension: int
    sha256: str
    calibrated: str = ""

    def model_id(self, regions: RegionEncoder, precision: Precision, *, scaled: bool) -> ModelId:
        """`name-tap-pooling-side-regions-normalisation-dimension-sha`, with optional parts.

        `dct` after the side marks frames decoded at a smaller scale. A precision other than fp32
        comes last, followed by the digest of the int8 network.

        Parameters
        ----------
        scaled : whether frames are decoded at a smaller scale
        """
        on_regions = (
            f"crop{self.crop_side}" + "".join(f"x{context:g}" for context in CONTEXTS)
            if regions is RegionEncoder.CROP
            else f"roi{self.grid}"
        )
        side = f"side{self.frame_side}{'dct' if scaled else ''}"
        parts = (self.backbone, self.tap, self.pooling, side, on_regions, NORMALISED)
        whitened = ("whitened",) if self.whitened else ()
        numbers = () if precision is Precision.FP32 else (precision.value,)
        quantised = (self.calibrated[:8],) if self.calibrated else ()
        sized = (f"{self.dimension}d", self.sha256[:8])
        return ModelId("-".join((*parts, *whitened, *sized, *numbers, *quantised)))

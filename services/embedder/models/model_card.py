"""The card of a foreign network: how to prepare pixels for it, and what its outputs mean."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.contracts.errors import InvalidSettings

_Side = Annotated[int, Field(ge=8, le=4096)]
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
_OutputName = Annotated[str, Field(min_length=1, max_length=200)]
_Mean = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]
_Deviation = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class FixedInput(_Part):
    """Every frame and crop is scaled to one size, in pixels."""

    width: _Side
    height: _Side

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """The input's width and height, whatever those of the image."""
        del width, height
        return self.width, self.height

    @property
    def frame_side(self) -> int:
        """The longer side."""
        return max(self.width, self.height)


class ScaledInput(_Part):
    """A frame keeps its aspect ratio as far as the sides' multiple allows.

    Attributes
    ----------
    longer_side : of a scaled frame, in pixels
    multiple_of : each side is a multiple of this: 14 or 16 for patches, 32 for most CNNs
    crop_side : of a crop, in pixels
    """

    longer_side: _Side
    multiple_of: Annotated[int, Field(ge=1, le=64)] = 32
    crop_side: _Side = 112

    @model_validator(mode="after")
    def _crops_fit(self) -> Self:
        if self.crop_side % self.multiple_of or self.longer_side % self.multiple_of:
            raise ValueError("longer_side and crop_side are to be multiples of multiple_of")
        return self

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to which a frame of this size is scaled."""
        scale = self.longer_side / max(width, height) / self.multiple_of
        across, along = (max(round(side * scale), 1) * self.multiple_of for side in (width, height))
        return across, along

    @property
    def frame_side(self) -> int:
        """The longer side."""
        return self.longer_side


class MapOutput(_Part):
    """A CNN's map: (N, C, H, W)."""

    kind: Literal["map"] = "map"
    output: _OutputName


class TokensOutput(_Part):
    """A transformer's patch tokens: (N, first_tokens + H W, C), row by row.

    Attributes
    ----------
    patch : pixels of a patch's sides
    first_tokens : number of tokens before the patches: class and register tokens
    """

    kind: Literal["tokens"]
    output: _OutputName
    patch: Annotated[int, Field(ge=1, le=256)]
    first_tokens: Annotated[int, Field(ge=0, le=64)] = 0


class TextPart(_Part):
    """The text tower that was trained with the network.

    Attributes
    ----------
    file, tokenizer : names of files next to the card: ONNX, and Hugging Face's tokenizer.json
    input, mask : inputs of the tower: token ids and, if it takes one, which of them are tokens
    output : (1, F), in the space of the frame's output
    length : number of tokens; a text is cut or padded
    padding : id of the token that fills up
    """

    file: _FileName
    tokenizer: _FileName = "tokenizer.json"
    input: _OutputName = "input_ids"
    mask: _OutputName | None = "attention_mask"
    output: _OutputName = "text_embeds"
    length: Annotated[int, Field(ge=1, le=4096)] = 77
    padding: Annotated[int, Field(ge=0)] = 0


class ModelCard(_Part):
    """The card next to a network's file.

    Attributes
    ----------
    name : short name, part of the model's id
    licence : of the weights, for readers of the card
    mean, deviation : per channel, of pixels from 0 to 1
    channels : their order
    regions : the output on which regions are aligned
    frame : what the vector of a frame or crop is: the regions' output averaged, its first token, or
        another output (N, F) by name
    text : the text tower of the pair, if there is one; no part of the model's identity
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    licence: Annotated[str, Field(min_length=1, max_length=200)]
    input: FixedInput | ScaledInput
    mean: tuple[_Mean, _Mean, _Mean] = (0.485, 0.456, 0.406)
    deviation: tuple[_Deviation, _Deviation, _Deviation] = (0.229, 0.224, 0.225)
    channels: Literal["rgb", "bgr"] = "rgb"
    regions: Annotated[MapOutput | TokensOutput, Field(discriminator="kind")]
    frame: Literal["average", "first_token"] | _OutputName = "average"
    text: TextPart | None = None

    @model_validator(mode="after")
    def _has_first_token(self) -> Self:
        regions = self.regions
        if self.frame == "first_token" and not (
            isinstance(regions, TokensOutput) and regions.first_tokens
        ):
            raise ValueError("frame is first_token, and no token comes before the patches")
        return self

    @property
    def frame_output(self) -> str | None:
        """Name of the output that is the frame's vector; None if it comes of the regions'."""
        return None if self.frame in ("average", "first_token") else self.frame

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs to compute."""
        return (self.regions.output, *([self.frame_output] if self.frame_output else ()))

    @property
    def crop_size(self) -> tuple[int, int]:
        """Width and height of a crop."""
        if isinstance(self.input, FixedInput):
            return self.input.width, self.input.height
        return self.input.crop_side, self.input.crop_side


def read_card(network: Path) -> ModelCard:
    """The card of a network's file: the same name with `.json`.

    Raises
    ------
    InvalidSettings
        There is no card, or it is wrong; the message names the field.
    """
    path = network.with_suffix(".json")
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise InvalidSettings(
            f"no card at {path}: {exc.strerror}. docs/embedding.md shows what it says"
        ) from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidSettings(f"the card {path}: {field or 'it'}: {first['msg']}") from exc

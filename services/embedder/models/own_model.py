"""An Embedder of the user's own package, named as `module:factory`."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from operator import index
from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL.Image import Image

from services.contracts.errors import InvalidSettings, Unprocessable
from services.contracts.identity import ModelId
from services.domain.unit_vectors import scaled_to_unit
from services.embedder.embedder import Boxes, FrameVectors
from services.runtime.settings import Settings

_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MAX_DIMENSIONS = 16_384
"""Most dimensions of a vector, far above any published model's."""
T = TypeVar("T")
log = structlog.get_logger(__name__)


def _of_user(name: str, call: Callable[[], T]) -> T:
    """What the user's code returns.

    Raises
    ------
    InvalidSettings
        It raised something.
    Unprocessable
        As the call raised it.
    """
    try:
        return call()
    except (InvalidSettings, Unprocessable):
        raise
    except (Exception, SystemExit) as exc:  # any, as it is not our code; a script may exit
        raise InvalidSettings(
            f"GAZELOOP_EMBEDDER={name} raised {type(exc).__name__}: {exc}. Is its package, with all"
            " that it needs, installed where gazeloop runs?"
        ) from exc


@runtime_checkable
class OwnModel(Protocol):
    """What a user's factory returns: three methods."""

    def identity(self) -> str:
        """Name of everything that affects the vectors: network, weights, preparation.

        Letters, digits, `_`, `.` and `-`, at most 100. Change it whenever vectors change.
        """
        ...

    def dimensions(self) -> tuple[int, int]:
        """Lengths of a frame's vector and of a region's."""
        ...

    def embed(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float64]]
    ) -> Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The vectors of each image, (F,), and of its boxes, (N, R); any length of vector.

        Parameters
        ----------
        images : RGB, in full resolution
        boxes : per image (N, 4), [x, y, width, height] in pixels; N may be 0
        """
        ...


def _made(name: str) -> object:
    module, _, factory = name.partition(":")
    return getattr(import_module(module), factory)()


def _two(model: OwnModel) -> tuple[int, int]:
    frame, region = model.dimensions()
    return index(frame), index(region)


class OwnEmbedder:
    """Checks what a user's model returns, and scales it to unit length."""

    decoded_side = None

    def __init__(self, model: OwnModel, name: str) -> None:
        self._model = model
        self._name = name
        identity = _of_user(name, model.identity)
        if not isinstance(identity, str) or not _IDENTITY.fullmatch(identity):
            raise InvalidSettings(
                f"{name}: its identity {identity!r} is to match {_IDENTITY.pattern}"
            )
        frame, region = _of_user(name, lambda: _two(model))
        if not (0 < frame <= _MAX_DIMENSIONS and 0 < region <= _MAX_DIMENSIONS):
            raise InvalidSettings(
                f"{name}: its dimensions are {frame} and {region}; from 1 to {_MAX_DIMENSIONS} are"
                " allowed"
            )
        self.model_id = ModelId(f"own-{identity}-{frame}d-{region}d")
        self.frame_dimension = frame
        self.region_dimension = region

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The embedder that `GAZELOOP_EMBEDDER=module:factory` names.

        The factory is called without arguments.

        Raises
        ------
        InvalidSettings
            There is no such factory, it raises, or it returns no OwnModel.
        """
        name = settings.embedder
        model = _of_user(name, partial(_made, name))
        if not isinstance(model, OwnModel):
            raise InvalidSettings(
                f"{name} returned {type(model).__name__}, which lacks identity, dimensions or embed"
            )
        embedder = cls(model, name)
        log.info("embedder_chosen", model=embedder.model_id, factory=name)
        return embedder

    def embed(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        """Compute the vectors of each RGB image and of its boxes.

        Raises
        ------
        InvalidSettings
            The model returned another number of vectors, or of another length; or a file or memory
            is missing.
        Unprocessable
            The model raised anything else: of several images, each is to be tried alone.
        """
        return _of_user(self._name, lambda: self._embedded(images, boxes)) if images else []

    def _embedded(self, images: Sequence[Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        found = self._called(images, boxes)
        if len(found) != len(images):
            raise InvalidSettings(
                f"{self._name} returned vectors of {len(found)} images, and got {len(images)}"
            )
        return [
            FrameVectors(
                self._checked(frame, (self.frame_dimension,)),
                self._checked(regions, (len(box), self.region_dimension)),
            )
            for (frame, regions), box in zip(found, boxes, strict=True)
        ]

    def _called(
        self, images: Sequence[Image], boxes: Sequence[Boxes]
    ) -> Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        try:
            return self._model.embed(images, boxes)
        except (OSError, MemoryError):
            raise  # not about these images: a dead letter of each would say nothing
        except Exception as exc:
            raise Unprocessable(
                f"GAZELOOP_EMBEDDER={self._name} raised {type(exc).__name__}: {exc}"
            ) from exc

    def _checked(self, vectors: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        if np.shape(vectors) != shape:
            raise InvalidSettings(
                f"{self._name} returned an array {np.shape(vectors)}; {shape} is expected"
            )
        values = np.nan_to_num(np.asarray(vectors, np.float32), posinf=0, neginf=0)
        return scaled_to_unit(values)

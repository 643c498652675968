"""Records the embedder settings of each model in a data folder, so that later commands use them.

If the user names no embedder, the live model's settings apply: the demo's folder keeps the demo's
embedder, and after `gazeloop models use` the next start uses the model that is live then.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.contracts.errors import InvalidSettings
from services.contracts.identity import ModelId
from services.domain.ports.vectors import REGION_VECTORS, model_of
from services.runtime.durability import replace_file
from services.runtime.settings import Settings
from services.runtime.stores.vectors_edge_names import EDGE_FOLDER, EdgeNames

EMBEDDERS_FILE = "embedders.json"
"""Its name in the data folder."""


class MadeBy(BaseModel):
    """The settings that affect vectors; they and the weights determine a model's id."""

    model_config = ConfigDict(frozen=True)

    embedder: str
    weights: Path | None
    pooling: str
    region_encoder: str
    embed_precision: str
    embed_decode: str
    embed_int8: Path | None = None


_Noted = TypeAdapter(dict[ModelId, MadeBy])


def note_embedder(settings: Settings, model: ModelId) -> None:
    """Record the settings of this model in the data folder; does nothing with a Qdrant server.

    Raises
    ------
    InvalidSettings
        The existing record cannot be read.
    """
    if settings.qdrant:
        return
    noted = _read(settings.data)
    values = settings.model_dump(include=set(MadeBy.model_fields))
    for file in ("weights", "embed_int8"):
        if values[file] is not None:
            values[file] = values[file].resolve()
    if values["embedder"].endswith(".onnx"):
        values["embedder"] = str(Path(values["embedder"]).resolve())
    made_by = MadeBy.model_validate(values)
    if noted.get(model) == made_by:
        return
    settings.data.mkdir(parents=True, exist_ok=True)
    content = _Noted.dump_json({**noted, model: made_by}, indent=2)
    replace_file(settings.data / EMBEDDERS_FILE, content)


def live_embedder(data: Path) -> dict[str, object]:
    """The recorded settings of a data folder's live model; empty if there are none.

    Raises
    ------
    InvalidSettings
        The record cannot be read.
    """
    noted = _read(data)
    if not noted:
        return {}
    live = model_of(REGION_VECTORS, EdgeNames(data / EDGE_FOLDER).now().get(REGION_VECTORS))
    if live is None and len(noted) == 1:  # the vectors are gone and must be computed again
        (live,) = noted
    made_by = noted.get(live) if live is not None else None
    return made_by.model_dump() if made_by is not None else {}


def _read(data: Path) -> dict[ModelId, MadeBy]:
    file = data / EMBEDDERS_FILE
    try:
        return _Noted.validate_json(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as exc:
        raise InvalidSettings(
            f"{file} cannot be read; move it away, and set GAZELOOP_EMBEDDER to the embedder that"
            " made this folder's vectors"
        ) from exc

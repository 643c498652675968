"""A pair of towers as two ONNX files: a text's vector is the one that torch gives."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings, MissingPart, MissingWeights
from services.embedder.models.choosing import embedder_of
from services.embedder.models.text_tower import TextTower
from services.runtime.settings import Settings
from tests.unit.embedder.foreign import CHANNELS, Features, transformer, write_card, write_onnx

WORDS = {"[PAD]": 0, "[UNK]": 1, "a": 2, "red": 3, "sign": 4}
LENGTH = 6
PART = {"file": "text.onnx", "length": LENGTH}


class Text(nn.Module):
    """The mean of the tokens' embeddings, without those that fill up."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table = nn.Embedding(len(WORDS), CHANNELS)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        kept = mask.unsqueeze(-1).float()
        found: Tensor = (self.table(ids) * kept).sum(dim=1) / kept.sum(dim=1)
        return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image tower, with the text tower and its tokenizer next to it."""
    folder = tmp_path_factory.mktemp("pair")
    path = write_onnx(
        folder / "clip.onnx", Features(transformer()), ("tokens", "image_embeds"), sides=False
    )
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = torch.zeros(1, LENGTH, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Text().eval(),
            (ids, ids),
            folder / "text.onnx",
            dynamo=False,
            input_names=["input_ids", "attention_mask"],
            output_names=["text_embeds"],
        )
    return path


def tower(path: Path, **changed: object) -> TextTower:
    write_card(path, **{"frame": "image_embeds", "text": PART} | changed)
    return TextTower.of(Settings(embedder=str(path)))


def test_a_text_has_the_vector_that_torch_gives(pair: Path) -> None:
    found = tower(pair).embed("a red sign")
    expected = Text().table.weight[[2, 3, 4]].mean(dim=0).detach().numpy()
    assert float(found @ expected) / np.linalg.norm(expected) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1)
    assert np.allclose(
        tower(pair).embed("a red sign a red sign a a a"),
        tower(pair).embed("a red sign a red sign"),
        atol=1e-6,
    )


def test_a_text_tower_changes_no_models_identity(pair: Path) -> None:
    write_card(pair, frame="image_embeds")
    alone = embedder_of(Settings(embedder=str(pair))).model_id
    write_card(pair, frame="image_embeds", text=PART)
    assert embedder_of(Settings(embedder=str(pair))).model_id == alone


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"text": None}, "names no text tower"),
        ({"frame": "average"}, "share the space of an output"),
        ({"text": PART | {"input": "ids"}}, "has no 'ids'; it has attention_mask, input_ids"),
        ({"text": PART | {"output": "pooled"}}, "has no 'pooled'; it has text_embeds"),
        ({"text": PART | {"file": "../text.onnx"}}, "text.file"),
    ],
)
def test_a_card_that_does_not_fit_is_named(
    pair: Path, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidSettings, match=message):
        tower(pair, **changed)


def test_what_is_missing_is_named(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings, match="has no text tower"):
        TextTower.of(Settings())
    with pytest.raises(MissingWeights, match="no text tower at"):
        tower(pair, text=PART | {"file": "none.onnx"})
    (pair.parent / "odd.json").write_text(json.dumps({"no": "tokenizer"}))
    with pytest.raises(MissingWeights, match=r"no tokenizer in .*odd\.json"):
        tower(pair, text=PART | {"tokenizer": "odd.json"})
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingPart, match=r"gazeloop\[text\]"):
        tower(pair)

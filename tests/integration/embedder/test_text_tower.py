"""A pair of towers as two ONNX files: a text's vector is the one that torch gives."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import (
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings, MissingPart, MissingWeights
from services.embedder.models.choosing import embedder_of
from services.embedder.models.text_tower import TextTower
from services.runtime.settings import Settings
from tests.unit.embedder.foreign import CHANNELS, Features, transformer, write_card, write_onnx

LENGTH = 12
TEXTS = ("a red stop sign", "a bicycle on the back of a truck", "a faded sign")


START, END = 0, 1
"""Ids of the tokens that begin and end a text."""


def clip_tokenizer() -> Tokenizer:
    """Byte pairs as CLIP's tokenizer.json has them, of fewer texts."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    ends = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=ends, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing((ends[1], END), (ends[0], START))
    return tokenizer


TOKENIZER = clip_tokenizer()
PART = {"file": "text.onnx", "length": LENGTH, "padding": END}


class Text(nn.Module):
    """CLIP's text tower, small: causal attention, and the vector is the one of the end's token."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.tokens = nn.Embedding(400, CHANNELS)
        self.places = nn.Embedding(LENGTH, CHANNELS)
        layer = nn.TransformerEncoderLayer(
            *(CHANNELS, 3, 2 * CHANNELS), activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(CHANNELS), False)
        self.projection = nn.Linear(CHANNELS, CHANNELS, bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        later = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        states = self.tokens(ids) + self.places.weight
        states = self.layers(states, later, mask == 0)
        end = torch.eq(ids, END).int().argmax(dim=-1)
        found: Tensor = self.projection(states[torch.arange(len(ids)), end])
        return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image tower, with the text tower and its tokenizer next to it."""
    folder = tmp_path_factory.mktemp("pair")
    path = write_onnx(
        folder / "clip.onnx", Features(transformer()), ("tokens", "image_embeds"), sides=False
    )
    TOKENIZER.save(str(folder / "tokenizer.json"))
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


@pytest.mark.parametrize("text", [*TEXTS, "A RED  Stop-sign!", "", "a sign " * 40])
def test_a_text_has_the_vector_that_torch_gives(pair: Path, text: str) -> None:
    tokens = TOKENIZER.encode(text).ids
    # What is cut off are words: the token that ends a text stays.
    tokens = tokens if len(tokens) <= LENGTH else [*tokens[: LENGTH - 1], END]
    padded = torch.tensor([tokens + [END] * (LENGTH - len(tokens))])
    mask = (torch.arange(LENGTH) < len(tokens)).long()[None]
    with torch.no_grad():
        expected = Text().eval()(padded, mask)[0].numpy()
    found = tower(pair).embed(text)
    assert float(found @ expected) / np.linalg.norm(expected) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1)


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

"""`gazeloop calibrate`: what it says, and what it refuses."""

import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from services.cli.main import app, main
from services.embedder.models.backbones import backbone_named
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.training import calibration
from services.runtime.settings import Settings
from tests.unit.cli.street import write_street
from tests.unit.embedder.networks import untrained


@pytest.fixture
def chosen(tmp_path: Path) -> dict[str, str]:
    """The smallest convolutional network, whose weights are drawn, and which bears 8 bits."""
    weights = tmp_path / "network.safetensors"
    save_file(untrained(backbone_named("conv_ae"), seed=2).state_dict(), weights)
    return {"embedder": "conv_ae", "weights": str(weights)}


@pytest.fixture
def arguments(tmp_path: Path, chosen: dict[str, str]) -> list[str]:
    folder = tmp_path / "street"
    folder.mkdir()
    set_ = [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]
    given = ["--coco", str(write_street(folder)), "--images", str(folder)]
    return [*set_, "calibrate", *given, "--to", str(tmp_path / "network.int8")]


def test_a_network_that_bears_it_is_written_and_its_use_is_told(
    tmp_path: Path, chosen: dict[str, str], arguments: list[str]
) -> None:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})

    result = runner.invoke(app, arguments)

    assert result.exit_code == 0, result.output
    assert "cosine to full precision, 6 frames held out: least" in result.output
    file = tmp_path / "network.int8"
    use = f"--set embedder=conv_ae --set embed_precision=int8 --set embed_int8={file}"
    assert use in result.output
    assert "Applying" not in result.output  # NNCF's own bars
    assert "looking" not in result.stdout  # results only; progress is on standard error
    sha256 = result.output.split("GAZELOOP_EMBED_INT8_SHA256: ")[1].strip()
    int8 = {"embed_precision": "int8", "embed_int8": file, "embed_int8_sha256": sha256}
    embedder = TorchEmbedder.of(Settings.model_validate(chosen | int8))
    assert "-int8-" in embedder.model_id


def test_a_network_that_does_not_is_refused_with_figures_and_remedy(
    tmp_path: Path,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(calibration, "MIN_COSINE", 1.1)
    monkeypatch.setattr(sys, "argv", ["gazeloop", *arguments])

    with pytest.raises(SystemExit) as leaving:
        main()

    output = capsys.readouterr().err
    assert leaving.value.code == 1
    assert "conv_ae loses too much with 8 bits" in output
    assert "mAP changes from" in output
    assert "GAZELOOP_EMBED_PRECISION to bf16" in output
    assert not (tmp_path / "network.int8").exists()


def test_the_files_name_says_what_it_is(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments[:-1], "network.bin"])

    assert result.exit_code == 2
    assert ".int8" in result.output

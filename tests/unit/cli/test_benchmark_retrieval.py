"""`gazeloop benchmark retrieval` on a data set where colour is all that counts."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from services.benchmark import searches
from services.benchmark.models import Choice
from services.benchmark.searches import SEARCHES
from services.cli.main import app
from services.contracts.errors import InvalidSettings, MissingPart
from tests.unit.cli.street import write_street

Invoke = Callable[..., Result]


@pytest.fixture
def street(tmp_path: Path) -> Path:
    folder = tmp_path / "street"
    folder.mkdir()
    return write_street(folder)


@pytest.fixture
def invoke(street: Path, tmp_path: Path) -> Invoke:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})

    def call(*arguments: str) -> Result:
        given = ["--coco", str(street), "--images", str(street.parent)]
        options = ["--data", str(tmp_path / "data"), "benchmark", "retrieval", *given]
        return runner.invoke(app, [*options, "--to", str(tmp_path / "out"), *arguments])

    return call


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "retrieval.csv").open() as file:
        return list(csv.DictReader(file))


def test_colour_finds_what_has_the_colour_by_every_search(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("--model", "hsv-histogram", "--montages", "2")

    assert result.exit_code == 0, result.output
    found = rows(tmp_path)
    assert {(row["search"], row["level"]) for row in found} == {
        (search, level) for search in SEARCHES for level in ("category", "supercategory")
    }
    assert all(float(row["P@1"]) == 1 for row in found)
    exact = next(row for row in found if row["search"] == "exact-cosine")
    # 24 objects, 8 of each kind, of which the query's drive holds up to two.
    assert 0.5 < float(exact["R@4"]) < 0.7
    assert float(exact["report_P@4"]) == pytest.approx(0.4)
    assert int(exact["bytes_per_vector"].split(".")[0]) == 128 * 4
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert len(pictures) == 2
    with Image.open(pictures[0]) as picture:
        assert picture.width > 1000
    assert (tmp_path / "out" / "retrieval.svg").read_text().startswith("<svg")
    assert "By supercategory, 24 queries" in result.output


def test_whole_frames_are_prepared_as_the_report_did(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(
        "--of",
        "frames",
        "--letterbox",
        "64",
        "--supercategory",
        "sign",
        "--model",
        "gazeloop-small@random",
        "--search",
        "exact-cosine",
        "--query",
        "gt:000000000001",
    )

    assert result.exit_code == 0, result.output
    assert {row["examples"] for row in rows(tmp_path)} == {"12"}
    assert [path.stem for path in (tmp_path / "out").glob("*.png")] == [
        "gazeloop-small-random-000000"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet19"], "there is no embedder 'resnet19'"),
        (["--model", "resnet18@trained"], "NAME@random"),
        (["--search", "faiss"], "there is no search 'faiss'; there are exact-cosine"),
        (["--supercategory", "food"], "there are place, sign"),
        (["--model", "hsv-histogram", "--query", "nowhere"], "no query is on a frame 'nowhere'"),
    ],
)
def test_what_is_not_there_is_named(invoke: Invoke, arguments: list[str], message: str) -> None:
    outcome = invoke(*arguments)

    assert isinstance(outcome.exception, InvalidSettings)
    assert message in str(outcome.exception)


def test_one_network_with_several_weights_is_told_apart() -> None:
    choices = [
        Choice.parse(text)
        for text in ("resnet18", "resnet18@random", "resnet18=a/tuned.pth", "resnet18=b/white.pth")
    ]

    assert [choice.title for choice in choices][1:3] == [
        "resnet18 (random)",
        "resnet18 (tuned.pth)",
    ]
    assert (
        len({choice.title for choice in choices}) == len({choice.stem for choice in choices}) == 4
    )


def test_frames_alone_are_padded(invoke: Invoke) -> None:
    assert invoke("--letterbox", "64").exit_code == 2


def test_a_picture_that_cannot_be_read_is_said_and_the_rest_goes_through(
    invoke: Invoke, street: Path, tmp_path: Path
) -> None:
    (street.parent / "004.png").write_bytes(b"not a picture")

    result = invoke("--model", "hsv-histogram", "--search", "exact-cosine", "--montages", "0")

    assert result.exit_code == 0, result.output
    assert "1 frames whose image cannot be read" in result.output
    assert {row["examples"] for row in rows(tmp_path)} == {"22"}


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_finds_nearly_what_the_exact_one_does(name: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((600, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    built = SEARCHES[name].build(vectors, tmp_path)

    shares = []
    for query in vectors[:50]:
        exact = np.argsort(-(vectors @ query))[:10]
        shares.append(len({*built.search(query, 10).tolist()} & {*exact.tolist()}) / 10)
        assert built.search(query, 10)[0] == exact[0]
    assert np.mean(shares) >= (0.5 if "annoy" in name else 0.9)
    assert built.bytes_per_vector >= 64


def test_a_package_that_is_absent_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)

    assert "faiss-flat" not in searches.available()
    assert "qdrant-hnsw" in searches.available()
    with pytest.raises(MissingPart, match=r"gazeloop\[benchmark\]"):
        SEARCHES["annoy-angular"].build(np.zeros((2, 2), np.float32), tmp_path)

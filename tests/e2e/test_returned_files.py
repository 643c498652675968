"""Files of annotation tools through the command line: what is taken, what is said, how it ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from services.contracts.identity import FrameId
from services.formats.writers.frames import stem_of
from services.runtime.embedded.stack import EmbeddedStack
from services.runtime.settings import Settings
from tests.e2e.command_line import Done, gazeloop
from tests.unit.ingest.datasets import jpeg

FILES = Path(__file__).parent / "returned"
SIZE = (320, 240)
SENT = {"drive": range(1, 4), "nofp": range(1, 8)}
"""Frames that were sent to the tools, by data set."""
Gazeloop = Callable[..., Done]


def _frames() -> dict[str, FrameId]:
    """Frames by the names of the files that were sent."""
    ids = [FrameId(f"{name}:{at:012d}") for name, numbers in SENT.items() for at in numbers]
    return {f"{stem_of(frame_id)}.jpg": frame_id for frame_id in ids}


def _write(folder: Path) -> None:
    """Images, ground truth, and the manifest of an export, as `gazeloop export` writes it."""
    size = {"width": SIZE[0], "height": SIZE[1]}
    images = []
    for number, (file, frame_id) in enumerate(_frames().items()):
        (folder / file).write_bytes(jpeg(number, SIZE))
        images.append({"id": number, "frame_id": frame_id, "file_name": file, **size})
    categories = [{"id": 1, "name": "light"}, {"id": 2, "name": "sign"}]
    truth = {"images": images, "annotations": [], "categories": categories}
    (folder / "gt.json").write_bytes(orjson.dumps(truth))
    sent = {
        file: {"frame_id": frame, "annotations": [], **size} for file, frame in _frames().items()
    }
    (folder / "manifest.json").write_bytes(orjson.dumps({"frames": sent}))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder in which all frames were published, and whose labels are known.

    Its broker and store run meanwhile, so that no command starts its own.
    """
    folder = tmp_path_factory.mktemp("returned")
    _write(folder)
    with EmbeddedStack(Settings(data=folder)):
        _publish(folder)
        yield folder


def _publish(folder: Path) -> None:
    source: list[str | Path] = ["--images", folder, "--ground-truth", folder / "gt.json"]
    commands: list[list[str | Path]] = [
        ["ingest", "coco", *source],
        ["questions", "label", "sign", "--new"],
        ["questions", "label", "light", "--new"],
    ]
    for arguments in commands:
        done = gazeloop(folder, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def ingest(data: Path) -> Gazeloop:
    def run(tool: str, file: str) -> Done:
        given: list[str | Path] = [
            "--annotations",
            FILES / file,
            "--manifest",
            data / "manifest.json",
        ]
        return gazeloop(data, "ingest", tool, *given)

    return run


@pytest.mark.parametrize(
    ("tool", "file", "frames", "repaired"),
    [
        ("cvat", "rotated.xml", 2, "1 rotated boxes: replaced by their upright bounding boxes"),
        ("cvat", "scaled.xml", 1, "1 frames: boxes scaled from the declared size"),
        ("label-studio", "scaled.json", 1, "1 frames: boxes scaled from the declared size"),
        ("label-studio", "choices.json", 1, "1 results without the shape of an object"),
        ("label-studio", "uploaded.json", 2, ""),
    ],
)
def test_what_can_be_repaired_is_taken_and_said(
    ingest: Gazeloop, tool: str, file: str, frames: int, repaired: str
) -> None:
    done = ingest(tool, file)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ground truth: {frames} published" in done.stdout
    assert repaired in done.stdout
    assert ("Repairs and assumptions" in done.stdout) == bool(repaired)


def test_an_image_of_two_subsets_is_asked_about(ingest: Gazeloop, data: Path) -> None:
    done = ingest("cvat", "two_subsets.xml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ground truth: 0 published" in done.stdout
    assert "1 held until answered" in done.stdout
    asked = gazeloop(data, "questions", "list").stdout
    assert "annotators disagree  drive:000000000003" in asked


@pytest.mark.parametrize(
    ("tool", "file", "remedy"),
    [
        ("cvat", "video.xml", 'export the task as "CVAT for images 1.1"'),
        ("label-studio", "json_min.json", "choose JSON in Label Studio, not JSON-MIN"),
        ("via", "via3.json", "a VIA 3 project: read its folder with"),
    ],
)
def test_another_format_ends_with_one_and_names_the_right_one(
    ingest: Gazeloop, tool: str, file: str, remedy: str
) -> None:
    done = ingest(tool, file)

    assert done.returncode == 1
    assert remedy in done.stderr.replace("\n", " ")
    assert "published" not in done.stdout


def test_corrections_that_are_all_refused_end_with_one_and_a_remedy(data: Path) -> None:
    done = gazeloop(data, "ingest", "label-studio", "--annotations", FILES / "uploaded.json")

    assert done.returncode == 1
    assert "ground truth: 0 published" in done.stdout
    assert "all 2 corrections, for one reason (unknown_image)" in done.stdout
    assert "--manifest" in done.stdout

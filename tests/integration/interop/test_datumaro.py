"""Real Datumaro opens what we export, and what it makes of it comes back as it went out."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from services.contracts.events import Annotation, Rle
from services.contracts.identity import Category
from services.formats.items import Dataset
from services.formats.readers.coco import read_coco
from services.formats.readers.cvat import read_cvat
from services.formats.readers.datumaro import read_datumaro
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest
from services.formats.readers.voc import read_voc
from services.formats.readers.yolo import read_yolo
from services.formats.writers.coco import INSTANCES
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS, IMAGES, manifest
from services.formats.writers.frames import ExportFrame
from tests.deploy.checking import missing
from tests.unit.ingest.test_exporters import ODD, STOP, frame, runs, truths, write

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".interop/bin/python"
BLANK = Category(" yield  字🛑 ")
MASK = Rle(size=(360, 640), counts=runs())
ANNOTATIONS = (
    Annotation(category=STOP, bbox=(393.1, 158.6, 14.7, 14.9)),
    # In COCO, Datumaro knows crowds by their masks alone.
    Annotation(category=ODD, bbox=(0.0, 0.1, 1 / 3, 359.9), area=12.5, crowd=True, mask=MASK),
    Annotation(category=BLANK, bbox=(10.0, 20.0, 30.5, 40.25), ignore=True),
    Annotation(category=STOP, bbox=(1.5, 2.5, 10.0, 10.0), mask=MASK),
)
MASK_PIXELS = [100, 1, 2, 10, 11]
"""Their count, and the first and last column and row."""
MASKS = {Format.CVAT, Format.DATUMARO}
FRAMES = [
    frame("survey:0001", annotations=ANNOTATIONS),
    frame("veh/7#1", annotations=()),
    frame("é:ü.b", annotations=ANNOTATIONS[:1]),
]
EMPTY = "veh/7#1"


class Tool(NamedTuple):
    """Datumaro's names of a format, read and written."""

    reads: str
    writes: str
    says: tuple[str, ...]
    forgets: frozenset[str] = frozenset()
    """Frames that are not in what it writes."""


TOOLS: Mapping[Format, Tool] = {
    Format.COCO: Tool("coco", "coco_instances", ("area", "bbox", "crowd", "ignore", "mask")),
    # It writes no file for an image without an object.
    Format.VOC: Tool("voc", "voc_detection", ("crowd", "ignore"), frozenset({EMPTY})),
    Format.YOLO: Tool("yolo", "yolo_ultralytics", ()),
    Format.CVAT: Tool("cvat", "cvat", ("crowd", "ignore", "mask")),
    Format.DATUMARO: Tool("datumaro", "datumaro", ("crowd", "ignore", "mask")),
}


def opened(form: Format, folder: Path, sent: Manifest) -> Dataset:
    match form:
        case Format.COCO:
            return read_coco(folder / INSTANCES, images=None, sent=sent)
        case Format.VOC:
            return read_voc(folder / "Annotations", images=None, sent=sent)
        case Format.YOLO:
            return read_yolo(folder, sent)
        case Format.CVAT:
            (file,) = folder.rglob("*.xml")
            return read_cvat(file, sent)
        case _:
            return read_datumaro(folder / "annotations/default.json", sent)


def interpreter() -> str:
    """The Python that has the tools."""
    if not PYTHON.exists():
        missing("Datumaro is not there: run make tools")
    return str(PYTHON)


def through_datumaro(form: Format, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What Datumaro sees in `folder/out`; it writes the same into `folder/back`."""
    tool, script = TOOLS[form], Path(__file__).with_name("through_datumaro.py")
    folders = (str(folder / "out"), str(folder / "back"))
    command = [interpreter(), str(script), tool.reads, folders[0], tool.writes, folders[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    seen: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return seen


def export(form: Format, frames: list[ExportFrame], folder: Path) -> Manifest:
    exported = EXPORTERS[form](frames)
    images = folder / IMAGES[form]
    images.mkdir(parents=True)
    for export_frame in frames:
        Image.new("RGB", (export_frame.width, export_frame.height)).save(
            images / export_frame.file_name
        )
    write({**exported.files, "manifest.json": manifest(exported)}, folder)
    return Manifest.read(folder / "manifest.json")


@pytest.mark.parametrize("form", TOOLS)
def test_datumaro_opens_what_we_export_and_gives_it_back(form: Format, tmp_path: Path) -> None:
    sent = export(form, FRAMES, tmp_path / "out")

    seen = through_datumaro(form, tmp_path)
    back = restored(opened(form, tmp_path / "back", sent), sent, TOOLS[form].says)
    found = truths(back)

    for export_frame in FRAMES:
        boxes = {one["label"] for one in seen[export_frame.stem]}
        assert boxes == {one.category for one in export_frame.annotations or ()}
        masks = [one["pixels"] for one in seen[export_frame.stem] if one["type"] == "mask"]
        assert all(pixels == MASK_PIXELS for pixels in masks)
        if form in MASKS:
            assert len(masks) == sum(one.mask is not None for one in export_frame.annotations or ())
    assert found.keys() == {export_frame.frame_id for export_frame in FRAMES} - TOOLS[form].forgets
    assert back.left == TOOLS[form].forgets
    for export_frame in FRAMES:
        if export_frame.frame_id in found:
            assert in_some_order(found[export_frame.frame_id]) == in_some_order(
                export_frame.annotations or ()
            )


def in_some_order(annotations: Any) -> list[tuple[Any, ...]]:
    """Without the area, which Datumaro reckons anew; in COCO it makes polygons of masks."""
    return sorted(
        (
            annotation.category,
            annotation.bbox,
            annotation.crowd,
            annotation.ignore,
            annotation.mask is None,
        )
        for annotation in annotations
    )

"""Whatever is exported and comes back unchanged is the same ground truth, in every format."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as masks

from services.contracts.events import Annotation, Rle
from services.contracts.identity import Category, FrameId
from services.contracts.visible_text import hidden_character
from services.formats.items import Dataset
from services.formats.readers.coco import read_coco
from services.formats.readers.cvat import read_cvat
from services.formats.readers.datumaro import read_datumaro
from services.formats.readers.label_studio import read_label_studio
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest
from services.formats.readers.voc import read_voc
from services.formats.readers.yolo import read_yolo
from services.formats.writers.coco import INSTANCES
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS, manifest
from services.formats.writers.frames import ExportFrame
from tests.unit.ingest.test_exporters import frame, truths, write

SIZE = (640, 360)
Reader = Callable[[Path, Manifest], Dataset]
READERS: Mapping[Format, tuple[Reader, tuple[str, ...]]] = {
    Format.COCO: (
        lambda folder, sent: read_coco(folder / INSTANCES, images=None, sent=sent),
        ("area", "bbox", "crowd", "ignore", "mask"),
    ),
    Format.VOC: (
        lambda folder, sent: read_voc(folder / "Annotations", images=None, sent=sent),
        ("crowd", "ignore"),
    ),
    Format.YOLO: (read_yolo, ()),
    Format.CVAT: (
        lambda folder, sent: read_cvat(folder / "annotations.xml", sent),
        ("crowd", "ignore", "mask"),
    ),
    Format.LABEL_STUDIO: (
        lambda folder, _: read_label_studio(folder / "tasks.json"),
        ("crowd", "ignore"),
    ),
    Format.DATUMARO: (
        lambda folder, sent: read_datumaro(folder / "annotations/default.json", sent),
        ("crowd", "ignore", "mask"),
    ),
}


AWKWARD = "<>&\"'#:{}[]|,%@`!*?/\\.-~0aÀ字🛑é́"
"""What XML, YAML and paths mean something by, and other scripts."""
PRINTABLE = st.sampled_from(AWKWARD) | st.characters(codec="utf-8", exclude_categories=("C", "Z"))
VISIBLE = PRINTABLE.filter(lambda character: hidden_character(character) is None)
NAMES = st.text(VISIBLE | st.just(" "), min_size=1, max_size=30).filter(str.strip)
FRAME_IDS = st.text(VISIBLE, min_size=1, max_size=60).map(FrameId)


def side(longest: int) -> st.SearchStrategy[float]:
    return st.floats(0.001, longest, allow_nan=False) | st.integers(1, longest).map(float)


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    x, y = draw(side(SIZE[0] - 2)), draw(side(SIZE[1] - 2))
    bbox = (x, y, draw(side(SIZE[0])), draw(side(SIZE[1])))
    mask = None
    if draw(st.booleans()):
        filled = np.zeros((SIZE[1], SIZE[0]), np.uint8, order="F")
        filled[draw(st.integers(0, 300)) : 320, draw(st.integers(0, 600)) : 620] = 1
        mask = Rle(size=(SIZE[1], SIZE[0]), counts=masks.encode(filled)["counts"].decode())
    return Annotation(
        category=Category(draw(NAMES)),
        bbox=bbox,
        area=draw(st.none() | st.floats(0, 1e5)),
        crowd=draw(st.booleans()),
        ignore=draw(st.booleans()),
        mask=mask,
    )


some_frames = st.dictionaries(
    FRAME_IDS, st.none() | st.lists(annotations(), max_size=3).map(tuple), min_size=1, max_size=4
).map(lambda given: [frame(name, annotations=item) for name, item in given.items()])


def came_back(form: Format, frames: list[ExportFrame]) -> dict[str, list[Annotation]]:
    reader, says = READERS[form]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export = EXPORTERS[form](frames)
        write({**export.files, "manifest.json": manifest(export)}, folder)
        sent = Manifest.read(folder / "manifest.json")
        return truths(restored(reader(folder, sent), sent, says))


def as_kept(form: Format, annotation: Annotation) -> Annotation:
    """COCO always has an area: where none was given, the mask's, or the box's own."""
    if form is not Format.COCO or annotation.area is not None:
        return annotation
    area = annotation.bbox[2] * annotation.bbox[3]
    if annotation.mask is not None:
        area = float(masks.area(annotation.mask.model_dump()))
    return annotation.model_copy(update={"area": area})


@pytest.mark.parametrize("form", Format)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(frames=some_frames)
def test_what_comes_back_unchanged_is_exactly_what_it_was(
    form: Format, frames: list[ExportFrame]
) -> None:
    # What nobody has annotated cannot come back as it went out where a tool knows only "empty".
    frames = [export_frame for export_frame in frames if export_frame.annotations is not None]

    assert came_back(form, frames) == {
        export_frame.frame_id: [as_kept(form, one) for one in export_frame.annotations or ()]
        for export_frame in frames
    }


@pytest.mark.parametrize("form", Format)
def test_a_box_that_was_moved_is_what_the_tool_says(form: Format) -> None:
    before = Annotation(category=Category("a"), bbox=(10.0, 20.0, 30.0, 40.0), area=7.0, crowd=True)
    moved = before.model_copy(update={"bbox": (10.0, 20.5, 30.0, 40.0), "area": None})
    reader, says = READERS[form]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sent = EXPORTERS[form]([frame("f", annotations=(before,))])
        now = EXPORTERS[form]([frame("f", annotations=(moved,))])
        write({**now.files, "manifest.json": manifest(sent)}, folder)
        known = Manifest.read(folder / "manifest.json")
        ((found,),) = truths(restored(reader(folder, known), known, says)).values()

    assert found.bbox == pytest.approx(moved.bbox, abs=1e-6)
    assert found.area in (None, 1200.0)
    assert found.crowd == ("crowd" in says)


@pytest.mark.parametrize("form", Format)
def test_frames_that_did_not_come_back_are_known(form: Format) -> None:
    both = [frame("kept", annotations=()), frame("deleted", annotations=())]
    reader, says = READERS[form]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        back = EXPORTERS[form](both[:1])
        write({**back.files, "manifest.json": manifest(EXPORTERS[form](both))}, folder)
        sent = Manifest.read(folder / "manifest.json")
        dataset = restored(reader(folder, sent), sent, says)
        assert list(truths(dataset)) == ["kept"]

    assert dataset.left == {"deleted"}


def test_a_box_that_came_twice_is_restored_once() -> None:
    one = Annotation(category=Category("a"), bbox=(1.0, 2.0, 3.0, 4.0), area=5.0)
    twin = replace(frame("f", annotations=(one, one)))

    assert came_back(Format.YOLO, [twin]) == {"f": [one, one]}

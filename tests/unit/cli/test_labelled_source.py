from pathlib import Path

import pytest

from services.cli.context import Context
from services.cli.labelled_source import Source
from services.cli.work.labelled import labelled_frames, of_stored
from services.domain.redaction import RedactionRule, RedactionStyle, ShownImage
from services.formats.writers.frames import ExportFrame
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages
from services.runtime.stores.opening import Stores
from tests import samples
from tests.fakes.blobs import InMemoryBlobs
from tests.unit.ingest.datasets import coco, jpeg, write_json


async def _none(_stores: Stores, _settings: Settings) -> list[ExportFrame]:
    return []


async def test_what_is_learnt_from_is_where_the_picture_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "b.jpg").write_bytes(jpeg(1, (32, 24)))
    (images / "c d.jpg").write_bytes(jpeg(2, (48, 48)))
    content = coco()
    content["annotations"].append({"image_id": 10, "category_id": 1, "bbox": [1, 1, 9, 9]})
    source = Source(images, write_json(tmp_path / "gt.json", content), None, None)

    (frame,) = await labelled_frames(source, Context(tmp_path / "data"), _none)

    assert [labelled_object.box for labelled_object in frame.objects] == [(0.5, 1, 5, 5)]
    assert "1 size_mismatch" in capsys.readouterr().err


def test_frames_whose_images_were_deleted_are_left_out() -> None:
    frames = [
        ExportFrame.of(samples.frame_captured(name), samples.frame_annotated(frame_id=name))
        for name in ("f1", "f2")
    ]
    shown = {
        frames[1].frame_id: ShownImage(samples.frame_captured("f2").image, (), RedactionStyle.BLACK)
    }
    limits = ImageLimits.of(Settings())
    images = ShownImages(InMemoryBlobs(), limits, RedactionRule())

    (kept,) = of_stored(frames, shown, images, limits)

    assert kept.frame_id == "f2"

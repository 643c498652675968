"""Small data sets on disk that tests vary."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from services.formats.items import FrameItem, Item, Rejection

Json = dict[str, Any]


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 48), orientation: int | None = None) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    return file.getvalue()


def write_images(folder: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed))


def coco(**changes: Any) -> Json:
    """Two frames, the second one annotated and empty."""
    content: Json = {
        "images": [
            {"id": 2, "file_name": "b.jpg", "width": 64, "height": 48},
            {"id": 10, "file_name": "c d.jpg", "width": 64, "height": 48},
        ],
        "categories": [{"id": 1, "name": "stop sign"}, {"id": 7, "name": "crossing"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 1, "bbox": [1, 2, 10, 10], "area": 90},
            {"id": 2, "image_id": 2, "category_id": 7, "bbox": [5, 5, 9.5, 3], "iscrowd": 1},
        ],
    }
    return content | changes


def detection(**changes: Any) -> Json:
    return {"image_id": 2, "category_id": 1, "bbox": [1, 2, 10, 11], "score": 0.5} | changes


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def frames(items: Iterable[Item]) -> list[FrameItem]:
    return [item for item in items if isinstance(item, FrameItem)]


def rejections(items: Iterable[Item]) -> list[Rejection]:
    return [item for item in items if isinstance(item, Rejection)]

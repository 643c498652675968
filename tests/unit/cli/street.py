"""A COCO data set that a colour tells apart: red squares, green squares and blue discs."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

KINDS = {
    "stop": ("sign", (220, 30, 30)),
    "go": ("sign", (30, 200, 60)),
    "lake": ("place", (30, 60, 220)),
}


def write_street(folder: Path, frames: int = 12, drives: int = 6) -> Path:
    """The annotations' file; images lie beside it."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    names = list(KINDS)
    for number in range(frames):
        rng = np.random.default_rng(number)
        picture = Image.fromarray(rng.integers(90, 150, (90, 160, 3), dtype=np.uint8))
        draw = ImageDraw.Draw(picture)
        for turn in range(2):
            name = names[(number + turn) % len(names)]
            x, y = (int(value) for value in rng.integers((5 + 80 * turn, 5), (50 + 80 * turn, 60)))
            draw.rectangle((x, y, x + 23, y + 23), fill=KINDS[name][1])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": names.index(name) + 1,
                    "bbox": [x, y, 24, 24],
                    "area": 576,
                }
            )
        file = f"{number:03d}.png"
        picture.save(folder / file)
        images.append(
            {
                "id": number + 1,
                "file_name": file,
                "width": 160,
                "height": 90,
                "drive_id": f"d{number % drives}",
                "vehicle_id": "v",
            }
        )
    categories = [
        {"id": place, "name": name, "supercategory": KINDS[name][0]}
        for place, name in enumerate(names, start=1)
    ]
    path = folder / "gt.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path

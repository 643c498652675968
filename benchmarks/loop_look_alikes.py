"""Plant look-alikes into any COCO data set: objects that a detector falsely reports.

    python -m benchmarks.loop_look_alikes --coco gt.json --images DIR --to PLANTED
    python -m benchmarks.closed_loop --coco PLANTED/gt.json --images PLANTED --initial 300

A share of the frames gets an object of another frame, with its colour channels swapped, where no
object is. It is not annotated: a detector that has seen few of them reports it, always for the same
reason. So the closed loop can be run in the regime of a trained detector that fails systematically.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.loop_frames import LoopSet
from services.domain.arrays import FloatArray
from services.domain.detection.boxes import iou_matrix

_TRIES: Final = 20
"""Places that are tried per frame; a frame without room stays as it is."""
_MIN_SIDE: Final = 12.0
"""Pixels; smaller objects are not recognised, so their copies fool nobody."""


@dataclass(frozen=True)
class LookAlike:
    """An object of a frame, to be pasted into another one."""

    frame: int
    box: FloatArray

    def picture(self, data: LoopSet) -> Image.Image:
        """The object with its colours swapped."""
        left, top, width, height = self.box
        with Image.open(data.path(self.frame)) as image:
            part = image.convert("RGB").crop(
                (round(left), round(top), round(left + width), round(top + height))
            )
        red, green, blue = part.split()
        return Image.merge("RGB", (blue, red, green))


def planted(data: LoopSet, share: float, seed: int) -> dict[int, tuple[LookAlike, tuple[int, int]]]:
    """What is pasted into which frame, and the place of its upper left corner."""
    rng = np.random.default_rng(seed)
    boxes = [_boxes(data, frame) for frame in range(len(data.frames))]
    objects = [
        LookAlike(frame, box)
        for frame, frame_boxes in enumerate(boxes)
        for box in frame_boxes
        if box[2:].min() >= _MIN_SIDE
    ]
    chosen = rng.permutation(len(boxes))[: round(share * len(boxes))]
    found = {}
    for frame in chosen.tolist():
        look_alike = objects[rng.integers(len(objects))]
        place = _free_place(data, frame, boxes[frame], look_alike.box[2:], rng)
        if place is not None:
            found[frame] = look_alike, place
    return found


def _free_place(
    data: LoopSet, frame: int, boxes: FloatArray, size: FloatArray, rng: np.random.Generator
) -> tuple[int, int] | None:
    with Image.open(data.path(frame)) as image:
        room = np.array(image.size) - size
    if room.min() < 0:
        return None
    for corner in rng.uniform(0, 1, (_TRIES, 2)) * room:
        own = np.concatenate([corner, size])[None]
        if not iou_matrix(own, boxes, np.zeros(len(boxes), bool)).any():
            return int(corner[0]), int(corner[1])
    return None


def _boxes(data: LoopSet, frame: int) -> FloatArray:
    boxes = [part.value.bbox for part in data.frames[frame].annotations or ()]
    return np.array(boxes, np.float64).reshape(-1, 4)


def write_planted(data: LoopSet, images: Path, ground_truth: Path, to: Path, share: float) -> int:
    """Write all images and the unchanged ground truth; returns how many frames got a look-alike."""
    found = planted(data, share, seed=0)
    for frame in range(len(data.frames)):
        path = data.path(frame)
        target = to / path.relative_to(images.resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        if frame not in found:
            copyfile(path, target)
            continue
        look_alike, place = found[frame]
        with Image.open(path) as image:
            picture = image.convert("RGB")
        picture.paste(look_alike.picture(data), place)
        picture.save(target, quality=95)
    copyfile(ground_truth, to / "gt.json")
    return len(found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and write the data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True, help="a folder that does not exist")
    parser.add_argument("--share", type=float, default=0.3, help="of frames that get one")
    options = parser.parse_args(arguments)
    data = LoopSet.read(options.coco, options.images, options.coco.parent.name)
    options.to.mkdir(parents=True)
    frames = write_planted(data, options.images, options.coco, options.to, options.share)
    print(f"{frames} of {len(data.frames)} frames have a look-alike")  # noqa: T201  # its output


if __name__ == "__main__":
    main()

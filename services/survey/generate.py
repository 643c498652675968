"""Write the synthetic survey: JPEG frames, ground truth and detector results in COCO format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.survey.detector import Detected, detect
from services.survey.scene import HEIGHT, WIDTH, Rendered, render_frame
from services.survey.world import ANNOTATED, Drive, plan_drive

SEED = 7
JPEG_QUALITY = 86
_LOOKS = 1
"""Increment when the same seed draws different frames, so that old surveys are not reused."""

_CATEGORY_IDS = {kind: place for place, kind in enumerate(ANNOTATED, start=1)}


@dataclass(frozen=True)
class SurveyFiles:
    """The paths of a survey's files."""

    images_dir: Path
    ground_truth_json: Path
    predictions_json: Path


@dataclass(frozen=True)
class _Stamp:
    seed: int
    drives: int
    frames_per_drive: int

    def content(self) -> bytes:
        return orjson.dumps(
            {
                "looks": _LOOKS,
                "seed": self.seed,
                "drives": self.drives,
                "frames_per_drive": self.frames_per_drive,
            }
        )


def generate_survey(
    folder: Path,
    *,
    drives: int = 30,
    frames_per_drive: int = 20,
    seed: int = SEED,
    progress: Callable[[int, int], None] | None = None,
) -> SurveyFiles:
    """Draw the survey into a folder, unless the folder has the same survey already.

    Parameters
    ----------
    progress : called with the numbers of finished and of all frames
    """
    files = SurveyFiles(folder / "images", folder / "ground_truth.json", folder / "detections.json")
    stamp, content = folder / "survey.json", _Stamp(seed, drives, frames_per_drive).content()
    if stamp.exists() and stamp.read_bytes() == content:
        return files
    stamp.unlink(missing_ok=True)
    files.images_dir.mkdir(parents=True, exist_ok=True)
    coco, results = _Coco(), list[dict[str, Any]]()
    for number in range(drives):
        drive = plan_drive(number, seed=seed, frames=frames_per_drive)
        for index in range(frames_per_drive):
            rendered = render_frame(drive, index)
            image_id = number * frames_per_drive + index + 1
            name = f"{drive.drive_id}-{index:03d}.jpg"
            rendered.image.save(files.images_dir / name, quality=JPEG_QUALITY)
            coco.add(image_id, name, drive, index, rendered)
            results += [_result(image_id, found) for found in detect(drive, index, rendered)]
            if progress is not None:
                progress(image_id, drives * frames_per_drive)
    files.ground_truth_json.write_bytes(orjson.dumps(coco.document()))
    files.predictions_json.write_bytes(orjson.dumps(results))
    # Written last, so that an interrupted survey, which lacks it, is drawn again.
    stamp.write_bytes(content)
    return files


class _Coco:
    """COCO's instances format, with each image's position and time."""

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image_id: int, name: str, drive: Drive, index: int, rendered: Rendered) -> None:
        position = drive.position(index)
        self._images.append(
            {
                "id": image_id,
                "file_name": name,
                "width": WIDTH,
                "height": HEIGHT,
                "vehicle_id": drive.vehicle_id,
                "drive_id": drive.drive_id,
                "captured_at": drive.captured_at(index).isoformat(),
                "lat": position.lat,
                "lon": position.lon,
                "heading": position.heading,
            }
        )
        for sighting in rendered.sightings:
            if sighting.kind in _CATEGORY_IDS:
                self._annotations.append(
                    {
                        "id": len(self._annotations) + 1,
                        "image_id": image_id,
                        "category_id": _CATEGORY_IDS[sighting.kind],
                        "bbox": sighting.bbox,
                        "area": round(sighting.bbox[2] * sighting.bbox[3], 2),
                        "iscrowd": 0,
                    }
                )

    def document(self) -> dict[str, Any]:
        categories = [{"id": place, "name": str(kind)} for kind, place in _CATEGORY_IDS.items()]
        return {
            "info": {"description": "Gazeloop's synthetic survey"},
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }


def _result(image_id: int, found: Detected) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "category_id": _CATEGORY_IDS[found.kind],
        "bbox": found.bbox,
        "score": found.score,
    }

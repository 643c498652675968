"""The files that `benchmarks.job` gives to both ways: COCO ground truth, results, and images."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.retrieval_data import SHARED, Picture
from benchmarks.retrieval_trained import traffic_light_photos
from services.contracts.identity import Category

_PHOTOS = SHARED / "trapedesveh"


@dataclass(frozen=True)
class JobFiles:
    """A COCO data set, and a detector's results for its images."""

    coco: Path
    predictions: Path
    images: Path


def street_photo_files() -> JobFiles:
    """230 street photos with a published detector's results."""
    return JobFiles(
        _PHOTOS / "derived_coco4.json", _PHOTOS / "fastestdet_results_coco4.json", _PHOTOS
    )


def traffic_light_files(folder: Path) -> JobFiles:
    """599 photos with the results of the closed loop's detector, written to the folder."""
    pictures = traffic_light_photos()
    names = sorted({a.category for item in pictures for a in item.ground_truth.annotations})
    numbers = {name: number for number, name in enumerate(names, 1)}
    files = JobFiles(folder / "gt.json", folder / "dt.json", pictures[0].path.parent)
    files.coco.write_bytes(
        orjson.dumps(
            {
                "images": [_image(number, item) for number, item in enumerate(pictures, 1)],
                "categories": [{"id": id_, "name": name} for name, id_ in numbers.items()],
                "annotations": _annotations(pictures, numbers),
            }
        )
    )
    files.predictions.write_bytes(orjson.dumps(_results(pictures, numbers)))
    return files


def _image(number: int, item: Picture) -> dict[str, object]:
    size = {"width": item.width, "height": item.height}
    return {"id": number, "file_name": item.path.name, **size}


def _annotations(pictures: list[Picture], numbers: dict[Category, int]) -> list[dict[str, object]]:
    placed = [(i, a) for i, item in enumerate(pictures, 1) for a in item.ground_truth.annotations]
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": numbers[annotation.category],
            "bbox": annotation.bbox,
            "area": annotation.bbox[2] * annotation.bbox[3],
            "iscrowd": 0,
        }
        for number, (image, annotation) in enumerate(placed, 1)
    ]


def _results(pictures: list[Picture], numbers: dict[Category, int]) -> list[dict[str, object]]:
    return [
        {
            "image_id": image,
            "category_id": numbers[detection.category],
            "bbox": detection.bbox,
            "score": detection.score,
        }
        for image, item in enumerate(pictures, 1)
        for detection in item.predictions.detections
        if detection.category in numbers
    ]

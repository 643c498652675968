"""Data sets for precision without ground truth: detections, frames' vectors, and frames' tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import orjson
from PIL import Image, ImageFilter

from benchmarks.retrieval_data import (
    CACHE,
    PHOTOS_EMBEDDER,
    SURVEY_EMBEDDER,
    DataSet,
    Picture,
    data_set_of,
    drive_of,
    pictures_of,
    street_photos,
)
from services.contracts.events import Detection
from services.domain.arrays import BoolArray, Vectors
from services.domain.metrics.slice_pairs import Tag
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings
from services.survey.generate import generate_survey
from services.survey.scene import HEIGHT, WIDTH
from services.survey.world import VEHICLES, Weather, plan_drive

_SEED = 7
DRIVES, SHIFTED_DRIVES = 60, 30
FRAMES_PER_DRIVE = 20
CHANGED = VEHICLES[2]
"""The vehicle that gets another camera."""
_LOST, _SHIFT, _GHOSTS = 0.2, 0.1, 0.5
_GAIN = (1.15, 0.9, 0.7)
_BLUR_PX = 1.5


@dataclass(frozen=True)
class StreamSet:
    """A data set whose frames have tags.

    Attributes
    ----------
    vectors : (F, D) float32, unit length, of the frames
    tags : F
    never : (F,) bool, frames that are never annotated
    """

    data: DataSet
    vectors: Vectors
    tags: Sequence[Sequence[Tag]]
    never: BoolArray


def photos() -> StreamSet:
    """230 street photos with a published detector's results; no drives, tags by brightness."""
    pictures = street_photos()
    data = data_set_of("trapedesveh", pictures, {"embedder": PHOTOS_EMBEDDER}, ("crop",))
    light = np.array([_brightness(picture.path) for picture in pictures])
    median = float(np.median(light))
    tags = [(("light", "bright" if one > median else "dark"),) for one in light.tolist()]
    vectors = _frame_vectors("trapedesveh", pictures, PHOTOS_EMBEDDER)
    return StreamSet(data, vectors, tags, np.zeros(len(pictures), np.bool_))


def survey() -> StreamSet:
    """The synthetic survey with 60 drives, in five weathers."""
    return _survey_set("survey-long", _pictures("survey-long", DRIVES))


def shifted_survey() -> StreamSet:
    """The demo's survey: fog, dusk, and a vehicle with another camera are never annotated."""
    changed = [
        _with_other_camera(picture) if picture.context.vehicle == CHANGED else picture
        for picture in _pictures(f"survey-{_SEED}", SHIFTED_DRIVES)
    ]
    found = _survey_set("survey-shifted", changed)
    new = {("weather", Weather.FOG), ("weather", Weather.DUSK), ("vehicle", CHANGED)}
    return replace(found, never=np.array([not new.isdisjoint(tags) for tags in found.tags]))


def _pictures(name: str, drives: int) -> list[Picture]:
    files = generate_survey(
        CACHE / name, seed=_SEED, drives=drives, frames_per_drive=FRAMES_PER_DRIVE
    )
    ground_truth = orjson.loads(files.ground_truth_json.read_bytes())
    results = orjson.loads(files.predictions_json.read_bytes())
    return pictures_of(files.images_dir, ground_truth, results, drive_of)


def _survey_set(name: str, pictures: Sequence[Picture]) -> StreamSet:
    data = data_set_of(name, pictures, {"embedder": SURVEY_EMBEDDER}, ("crop",))
    tags = _tags_by_drive()
    return StreamSet(
        data,
        _frame_vectors(name, pictures, SURVEY_EMBEDDER),
        [tags[str(picture.context.drive)] for picture in pictures],
        np.zeros(len(pictures), np.bool_),
    )


def _tags_by_drive() -> Mapping[str, Sequence[Tag]]:
    drives = [plan_drive(n, seed=_SEED, frames=FRAMES_PER_DRIVE) for n in range(DRIVES)]
    return {
        drive.drive_id: (
            ("weather", drive.weather),
            ("vehicle", drive.vehicle_id),
            ("district", drive.district),
        )
        for drive in drives
    }


def _with_other_camera(picture: Picture) -> Picture:
    """Blurred, with other colours; the detector loses objects and finds what is not there."""
    path = picture.path.parents[1] / "changed" / picture.path.name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        image = Image.open(picture.path).convert("RGB").filter(ImageFilter.BoxBlur(_BLUR_PX))
        coloured = np.clip(np.asarray(image, np.float64) * _GAIN, 0, 255)
        Image.fromarray(coloured.astype(np.uint8)).save(path, quality=90)
    rng = np.random.default_rng(int(picture.context.frame))
    kept = [_shifted(d, rng) for d in picture.predictions.detections if rng.random() >= _LOST]
    kept += [_ghost(rng, str(kept[0].category)) for _ in range(int(rng.poisson(_GHOSTS))) if kept]
    kept.sort(key=lambda detection: -detection.score)
    predictions = picture.predictions.model_copy(update={"detections": tuple(kept)})
    return replace(picture, path=path, predictions=predictions)


def _shifted(detection: Detection, rng: np.random.Generator) -> Detection:
    x, y, width, height = detection.bbox
    across, down = rng.normal(0, _SHIFT, 2).tolist()
    left = min(max(x + across * width, 0.0), WIDTH - width)
    top = min(max(y + down * height, 0.0), HEIGHT - height)
    return detection.model_copy(update={"bbox": (left, top, width, height)})


def _ghost(rng: np.random.Generator, category: str) -> Detection:
    width, height = rng.uniform(10, 40, 2).tolist()
    x, y = rng.uniform(0, WIDTH - width), rng.uniform(60, HEIGHT - height)
    score = round(float(rng.uniform(0.4, 0.8)), 4)
    box = (float(x), float(y), width, height)
    return Detection.model_validate({"category": category, "score": score, "bbox": box})


def _brightness(path: Path) -> float:
    return float(np.asarray(Image.open(path).convert("L").resize((64, 64))).mean())


def _frame_vectors(name: str, pictures: Sequence[Picture], embedder: str) -> Vectors:
    model = TorchEmbedder.of(Settings.model_validate({"embedder": embedder, "torch_threads": 1}))
    key = sha256(f"frames {name} {model.model_id}".encode()).hexdigest()[:16]
    cached = CACHE / f"frames-{name}-{key}.npy"
    if not cached.exists():
        none = np.zeros((0, 4))
        rows = [
            model.embed([Image.open(picture.path).convert("RGB")], [none])[0].frame
            for picture in pictures
        ]
        np.save(cached, np.stack(rows))
    vectors: Vectors = np.load(cached)
    return vectors

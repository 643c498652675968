"""Data sets as arrays: every detection with its truth, its features and its vectors."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import orjson
from PIL import Image

from services.contracts.events import (
    Annotation,
    Detection,
    ErrorType,
    FrameAnnotated,
    PredictionsMade,
    Split,
)
from services.contracts.identity import Category, DetectorId, DriveId, FrameId, VehicleId
from services.contracts.matches import CategoryMatch, CategoryMatched
from services.domain.arrays import BoolArray, FloatArray, IntArray, Vectors
from services.domain.detection.frame_matching import match_frame
from services.domain.failure_modes import FailureMode
from services.domain.mining.region_features import Shown, region_features
from services.domain.shortlists.scored_candidates import CaptureContext
from services.embedder.embedder import Boxes, Embedder
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings
from services.survey.generate import generate_survey

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
CACHE = ROOT / "build" / "retrieval"
THRESHOLDS = 10
EMBEDDED_SCORE = Settings().region_score
DETECTOR = DetectorId("detector@1")
_CAPTURED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Looked:
    """An image, and where its detections are.

    Attributes
    ----------
    boxes : (n, 4), in the detector's order
    asked : (n,), which of them are embedded
    """

    path: Path
    boxes: Boxes
    asked: BoolArray


@dataclass(frozen=True, eq=False)
class DataSet:
    """N detections on F frames, in C categories.

    Attributes
    ----------
    units : (F,), what a split keeps together: a drive, or the frame itself
    frame, category : (N,) places
    scores : (N,)
    matched : (N, 10) bool, per IoU threshold over all areas
    modes : N, none for what is right at IoU .5
    features : (N, columns), see region_features
    vectors : by encoder, (N, D); zeros below the score from which regions are embedded. Embedded
        when they are first used: most benchmarks need one encoder's
    truths : (F, C), annotated objects that count
    spots : F
    looked : F, images with their boxes
    areas : (F,), of the frames, in square pixels
    """

    name: str
    units: IntArray
    frame: IntArray
    category: IntArray
    scores: FloatArray
    matched: BoolArray
    modes: Sequence[FailureMode | None]
    features: FloatArray
    vectors: Mapping[str, Vectors]
    truths: IntArray
    spots: Sequence[CaptureContext]
    looked: Sequence[Looked]
    areas: FloatArray

    @property
    def wrong(self) -> BoolArray:
        """(N,) false positives at IoU .5."""
        return ~self.matched[:, 0]


@dataclass(frozen=True)
class Picture:
    """One frame's image, ground truth and predictions.

    Attributes
    ----------
    unit : what a split keeps together: a drive, or the frame itself
    """

    path: Path
    context: CaptureContext
    unit: str
    width: int
    height: int
    ground_truth: FrameAnnotated
    predictions: PredictionsMade


_Row = tuple[int, int, float, int, FailureMode | None]
"""Frame, category, score, bits that matched, mode."""


PHOTOS_EMBEDDER = "squeezenet1_0"
SURVEY_EMBEDDER = "gazeloop-small"


def trapedesveh() -> DataSet:
    """230 street photos with a published detector's results; no drives."""
    return data_set_of("trapedesveh", street_photos(), {"embedder": PHOTOS_EMBEDDER})


def street_photos() -> list[Picture]:
    """The frames of `trapedesveh`."""
    folder = SHARED / "trapedesveh"
    ground_truth = orjson.loads((folder / "derived_coco4.json").read_bytes())
    results = orjson.loads((folder / "fastestdet_results_coco4.json").read_bytes())
    return pictures_of(folder, ground_truth, results, lambda _, frame_id: without_drive(frame_id))


def survey(seed: int = 7) -> DataSet:
    """The synthetic survey: 600 frames of 30 drives, with the weights of the demo."""
    return data_set_of(f"survey-{seed}", survey_pictures(seed), {"embedder": SURVEY_EMBEDDER})


def survey_pictures(seed: int = 7) -> list[Picture]:
    """The frames of the synthetic survey."""
    files = generate_survey(CACHE / f"survey-{seed}", seed=seed)
    ground_truth = orjson.loads(files.ground_truth_json.read_bytes())
    results = orjson.loads(files.predictions_json.read_bytes())
    return pictures_of(files.images_dir, ground_truth, results, drive_of)


def matches_of(
    predictions: PredictionsMade, truth: FrameAnnotated, frame_id: FrameId
) -> list[CategoryMatched]:
    """The matches of a haystack's frame, under any name: benchmarks draw frames more than once."""
    return [
        CategoryMatched(
            frame_id=frame_id,
            detector=DETECTOR,
            category=category,
            revision=1,
            split=Split.HAYSTACK,
            shortlisted=False,
            vehicle_id=VehicleId("v"),
            drive_id=None,
            captured_at=_CAPTURED_AT,
            **vars(match),
        )
        for category, match in match_frame(predictions, truth).items()
    ]


def without_drive(frame_id: FrameId) -> tuple[str, CaptureContext]:
    """A frame that no split keeps with others, captured nobody knows where."""
    return frame_id, CaptureContext(frame_id, None, 0.0, None, VehicleId("v"))


def drive_of(image: Mapping[str, object], frame_id: FrameId) -> tuple[str, CaptureContext]:
    """What keeps a survey's frame with others of its drive, and where it was captured."""
    drive = str(image["drive_id"])
    second = datetime.fromisoformat(str(image["captured_at"])).timestamp()
    position = (float(str(image["lat"])), float(str(image["lon"])))
    return drive, CaptureContext(
        frame_id, DriveId(drive), second, position, VehicleId(str(image["vehicle_id"]))
    )


def pictures_of(
    folder: Path,
    ground_truth: Mapping[str, Sequence[Mapping[str, object]]],
    results: Sequence[Mapping[str, object]],
    placed: Callable[[Mapping[str, object], FrameId], tuple[str, CaptureContext]],
) -> list[Picture]:
    """The frames of a COCO data set and of a detector's results."""
    names = {item["id"]: Category(str(item["name"])) for item in ground_truth["categories"]}
    annotations, found = defaultdict(list), defaultdict(list)
    for item in ground_truth["annotations"]:
        annotations[item["image_id"]].append(
            Annotation.model_validate(
                {"category": names[item["category_id"]], "bbox": item["bbox"], "area": item["area"]}
            )
        )
    for result in results:
        found[result["image_id"]].append(
            Detection.model_validate(
                {
                    "category": names[result["category_id"]],
                    "bbox": result["bbox"],
                    "score": result["score"],
                }
            )
        )
    pictures = []
    for image in ground_truth["images"]:
        frame_id = FrameId(f"{image['id']:06d}")
        unit, context = placed(image, frame_id)
        pictures.append(
            Picture(
                folder / str(image["file_name"]),
                context,
                unit,
                int(str(image["width"])),
                int(str(image["height"])),
                FrameAnnotated(frame_id=frame_id, annotations=tuple(annotations[image["id"]])),
                PredictionsMade(
                    frame_id=frame_id,
                    detector="detector",
                    version="1",
                    detections=tuple(found[image["id"]]),
                ),
            )
        )
    return pictures


def data_set_of(
    name: str,
    pictures: Sequence[Picture],
    embedding: Mapping[str, object],
    encoders: Sequence[str] = ("crop", "roi"),
) -> DataSet:
    """The arrays of these frames, with vectors by an embedder's settings."""
    categories = sorted(
        {detection.category for p in pictures for detection in p.predictions.detections}
        | {annotation.category for p in pictures for annotation in p.ground_truth.annotations}
    )
    truths = np.zeros((len(pictures), len(categories)), np.int64)
    rows: list[_Row] = []
    features = []
    for place, picture in enumerate(pictures):
        matches = match_frame(picture.predictions, picture.ground_truth)
        for of, match in matches.items():
            truths[place, categories.index(of)] = match.ground_truths[0]
        rows += _rows(picture.predictions, matches, place, categories)
        features.append(_features(picture, categories))
    frame, category, scores, bits, modes = zip(*rows, strict=True)
    units = sorted({picture.unit for picture in pictures})
    looked = [_looked(picture) for picture in pictures]
    return DataSet(
        name=name,
        units=np.array([units.index(picture.unit) for picture in pictures]),
        frame=np.array(frame),
        category=np.array(category),
        scores=np.array(scores),
        matched=(np.array(bits)[:, None] >> np.arange(THRESHOLDS) & 1).astype(bool),
        modes=modes,
        features=np.concatenate(features),
        vectors=_EmbeddedWhenUsed(name, looked, embedding, encoders),
        truths=truths,
        spots=[picture.context for picture in pictures],
        looked=looked,
        areas=np.array([picture.width * picture.height for picture in pictures], np.float64),
    )


def _rows(
    predictions: PredictionsMade,
    matches: Mapping[Category, CategoryMatch],
    place: int,
    categories: Sequence[Category],
) -> list[_Row]:
    """In the detector's own order."""
    facts = {
        region: (place, categories.index(category), score, bits, _mode(error, truth))
        for category, match in matches.items()
        for region, score, bits, error, truth in zip(
            match.regions,
            match.scores,
            match.matched,
            match.errors,
            match.true_categories,
            strict=True,
        )
    }
    return [facts[region] for region in predictions.region_ids()]


def _mode(error: ErrorType | None, truth: Category | None) -> FailureMode | None:
    return None if error is None else FailureMode.of(error, truth)


def _features(picture: Picture, categories: Sequence[Category]) -> FloatArray:
    found = picture.predictions.detections
    return region_features(
        Shown(
            np.array([detection.bbox for detection in found], np.float64).reshape(-1, 4),
            np.array([detection.score for detection in found], np.float64),
            np.array([categories.index(detection.category) for detection in found], np.int64),
            picture.width,
            picture.height,
        )
    )


def _looked(picture: Picture) -> Looked:
    found = picture.predictions.detections
    return Looked(
        picture.path,
        np.array([detection.bbox for detection in found], np.float64).reshape(-1, 4),
        np.array([detection.score >= EMBEDDED_SCORE for detection in found], np.bool_),
    )


class _EmbeddedWhenUsed(Mapping[str, Vectors]):
    """The regions' vectors by encoder."""

    def __init__(
        self,
        name: str,
        looked: Sequence[Looked],
        embedding: Mapping[str, object],
        encoders: Sequence[str],
    ) -> None:
        self._name, self._looked = name, looked
        self._embedding = embedding
        self._encoders = encoders
        self._known: dict[str, Vectors] = {}

    def __getitem__(self, encoder: str) -> Vectors:
        if encoder not in self._encoders:
            raise KeyError(encoder)
        if encoder not in self._known:
            settings = {**self._embedding, "region_encoder": encoder, "torch_threads": 1}
            embedder = TorchEmbedder.of(Settings.model_validate(settings))
            self._known[encoder] = embedded(self._name, self._looked, embedder)
        return self._known[encoder]

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoders)

    def __len__(self) -> int:
        return len(self._encoders)


def embedded(name: str, looked: Sequence[Looked], embedder: Embedder) -> Vectors:
    """(N, D), embedded once per model and data set, then read from the build folder."""
    key = sha256(f"{name} {embedder.model_id} {EMBEDDED_SCORE}".encode()).hexdigest()[:16]
    cached = CACHE / f"{name}-{key}.npy"
    if cached.exists():
        loaded: Vectors = np.load(cached)
        return loaded
    parts = []
    for item in looked:
        rows = np.zeros((len(item.boxes), embedder.region_dimension), np.float32)
        if item.asked.any():
            image = Image.open(item.path).convert("RGB")
            rows[item.asked] = embedder.embed([image], [item.boxes[item.asked]])[0].regions
        parts.append(rows)
    vectors = np.concatenate(parts)
    CACHE.mkdir(parents=True, exist_ok=True)
    np.save(cached, vectors)
    return vectors

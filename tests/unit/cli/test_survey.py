from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image

from services.survey.detector import MISTAKEN, detect
from services.survey.generate import generate_survey
from services.survey.scene import HEIGHT, WIDTH, Rendered, render_frame
from services.survey.world import ANNOTATED, Drive, ObjectKind, plan_drive

SEED, FRAMES = 7, 20


@pytest.fixture(scope="module")
def seen() -> list[tuple[Drive, int, Rendered]]:
    drives = [plan_drive(number, seed=SEED, frames=FRAMES) for number in range(6)]
    return [(drive, i, render_frame(drive, i)) for drive in drives for i in range(0, FRAMES, 5)]


def _boxes(document: bytes) -> list[tuple[float, ...]]:
    found = orjson.loads(document)
    rows = found["annotations"] if isinstance(found, dict) else found
    return [tuple(row["bbox"]) for row in rows]


def test_the_same_seed_draws_the_same_survey(tmp_path: Path) -> None:
    one = generate_survey(tmp_path / "one", drives=2, frames_per_drive=2)
    two = generate_survey(tmp_path / "two", drives=2, frames_per_drive=2)
    assert one.ground_truth_json.read_bytes() == two.ground_truth_json.read_bytes()
    assert one.predictions_json.read_bytes() == two.predictions_json.read_bytes()
    for image in sorted(one.images_dir.iterdir()):
        assert image.read_bytes() == (two.images_dir / image.name).read_bytes()


def test_another_seed_draws_another_survey(tmp_path: Path) -> None:
    one = generate_survey(tmp_path / "one", drives=1, frames_per_drive=2, seed=1)
    two = generate_survey(tmp_path / "two", drives=1, frames_per_drive=2, seed=2)
    assert one.ground_truth_json.read_bytes() != two.ground_truth_json.read_bytes()


def test_a_survey_that_lies_there_is_used_again(tmp_path: Path) -> None:
    generate_survey(tmp_path, drives=1, frames_per_drive=2)
    drawn: list[int] = []
    generate_survey(tmp_path, drives=1, frames_per_drive=2, progress=lambda i, _: drawn.append(i))
    assert drawn == []


def test_a_survey_of_other_size_is_drawn_anew(tmp_path: Path) -> None:
    generate_survey(tmp_path, drives=1, frames_per_drive=2)
    drawn: list[int] = []
    generate_survey(tmp_path, drives=1, frames_per_drive=3, progress=lambda i, _: drawn.append(i))
    assert drawn == [1, 2, 3]


def test_every_image_says_when_where_and_on_which_drive(tmp_path: Path) -> None:
    files = generate_survey(tmp_path, drives=2, frames_per_drive=3)
    images = orjson.loads(files.ground_truth_json.read_bytes())["images"]
    assert len(images) == 6
    first, second = images[:2]
    assert first["drive_id"] == second["drive_id"] != images[3]["drive_id"]
    assert first["captured_at"] < second["captured_at"]
    assert (first["lat"], first["lon"]) != (second["lat"], second["lon"])
    with Image.open(files.images_dir / first["file_name"]) as image:
        assert image.size == (WIDTH, HEIGHT)


def test_boxes_lie_on_the_frame_and_have_an_area(tmp_path: Path) -> None:
    files = generate_survey(tmp_path, drives=6, frames_per_drive=3)
    boxes = _boxes(files.ground_truth_json.read_bytes())
    boxes += _boxes(files.predictions_json.read_bytes())
    assert len(boxes) > 50
    for x, y, width, height in boxes:
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert x + width <= WIDTH + 0.01
        assert y + height <= HEIGHT + 0.01


def test_things_grow_while_the_vehicle_approaches() -> None:
    drive = plan_drive(2, seed=SEED, frames=FRAMES)
    heights: dict[object, list[float]] = {}
    for index in range(6):
        for sighting in render_frame(drive, index).sightings:
            if sighting.kind is ObjectKind.TRAFFIC_LIGHT:
                heights.setdefault(sighting.thing, []).append(sighting.bbox[3])
    followed = [series for series in heights.values() if len(series) > 2]
    assert followed
    for series in followed:
        assert series == sorted(series)


def test_frames_are_not_flat(seen: list[tuple[Drive, int, Rendered]]) -> None:
    for _, _, rendered in seen:
        grey = np.asarray(rendered.image.convert("L"), dtype=float)
        assert grey.std() > 12
        assert np.abs(np.diff(grey, axis=1)).mean() > 1


def test_distractors_are_never_annotated(tmp_path: Path) -> None:
    files = generate_survey(tmp_path, drives=3, frames_per_drive=4)
    names = {c["name"] for c in orjson.loads(files.ground_truth_json.read_bytes())["categories"]}
    assert names == set(ANNOTATED)
    assert not names & set(MISTAKEN)


def test_the_detector_mostly_takes_billboards_for_stop_signs() -> None:
    taken, close = 0, 0
    for number in range(30):
        drive = plan_drive(number, seed=SEED, frames=FRAMES)
        rendered = render_frame(drive, 8)
        stops = [d for d in detect(drive, 8, rendered) if d.kind is ObjectKind.STOP_SIGN]
        for sighting in rendered.sightings:
            if sighting.kind is ObjectKind.BILLBOARD and sighting.bbox[3] > 12:
                x, y = sighting.bbox[:2]
                close += 1
                taken += any(abs(d.bbox[0] - x) < 9 and abs(d.bbox[1] - y) < 9 for d in stops)
    assert close >= 6
    assert taken / close > 0.6


def test_scores_of_right_and_wrong_detections_overlap(
    seen: list[tuple[Drive, int, Rendered]],
) -> None:
    right: list[float] = []
    wrong: list[float] = []
    for drive, index, rendered in seen:
        near = {(round(s.bbox[0] / 12), s.kind) for s in rendered.sightings}
        for found in detect(drive, index, rendered):
            place = round(found.bbox[0] / 12)
            hit = any((place + step, found.kind) in near for step in (-1, 0, 1))
            (right if hit else wrong).append(found.score)
    assert np.quantile(wrong, 0.9) > np.quantile(right, 0.25)
    assert np.mean(right) > np.mean(wrong)

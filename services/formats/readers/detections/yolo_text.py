"""YOLO text files with confidences: one per image, one detection a line.

`class x y width height confidence [track]`, in fractions of the image from the box's centre, as
Ultralytics' `save_txt=True, save_conf=True` writes them (`Results.save_txt` in
ultralytics/engine/results.py), YOLOv5 and YOLOv7 as well. With masks, an outline `x y x y …` stands
in place of the box. With poses, keypoints stand between the box and the confidence, and only
`kpt_shape` in the data set's YAML tells them from an outline.
"""

from functools import partial
from itertools import islice
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import box_around
from services.formats.readers.detections.boxes import RelativeBox, from_centre
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output
from services.formats.readers.detections.yolo_keypoints import without_keypoints

_SAMPLE = 8
_BOX_FIELDS = 5
"""Class and box; or box and confidence."""
_BOX_LENGTHS = frozenset({5, 6})
"""Box and confidence, and maybe a track."""


def recognises(files: OutputFiles) -> bool:
    """Whether a text file has lines of at least five numbers, the first of them whole."""
    return any(_is_numbers(file) for file, _ in islice(files.texts(), _SAMPLE))


def _is_numbers(file: Path) -> bool:
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        line = next((line for line in opened if line.strip()), "").split()
    return len(line) >= _BOX_FIELDS and line[0].isdecimal() and all(map(_is_number, line))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read(files: OutputFiles) -> Output:
    """The detections of all lines.

    Raises
    ------
    InvalidRecord
        `unknown_category`: the classes have no names.
    """
    found, names = Output(files.path), files.required_names
    keypoints = files.keypoint_numbers
    for file, image in files.texts():
        try:
            lines = file.read_text("utf-8-sig", errors="replace").splitlines()
        except OSError as exc:
            error = InvalidRecord(f"{file}: {exc.strerror}", reason="unreadable_file")
            found.refuse(image, None, str(file), error)
            continue
        for number, line in enumerate(lines, 1):
            if line.strip():
                value = {"line": line}
                convert = partial(_converted, names=names, keypoints=keypoints)
                found.add(image, value, f"{file}:{number}", convert)
    return found


def _converted(record: Record, names: ClassNames, keypoints: int) -> Record:
    label, *rest = record["line"].split()
    if keypoints:
        rest = _box_of_pose(rest, keypoints)
    try:
        values = [float(text) for text in rest]
    except ValueError:
        raise fields.malformed(f"{record['line']!r:.80} is not a line of numbers") from None
    if len(values) < _BOX_FIELDS:
        raise fields.malformed(
            f"{record['line']!r:.80} has no confidence: predict with save_conf=True"
        )
    # A box has 4 numbers and an outline an even count, so an even rest has a track as well.
    has_track = len(values) % 2 == 0
    track = rest.pop() if has_track else None
    if track is not None and not track.isdecimal():
        raise fields.malformed(
            f"{record['line']!r:.80} has no confidence, or no whole number as track"
        )
    *place, score = values[: len(rest)]
    corners = zip(place[::2], place[1::2], strict=True)
    box = from_centre(place) if len(place) == 4 else box_around(corners)  # noqa: PLR2004  # else an outline
    track_id = {} if track is None else {"track_id": track}
    number = int(label) if label.isdecimal() else label
    named = names.record_of(number)
    return {**named, "score": score, "bbox": RelativeBox(*box), **track_id}


def _box_of_pose(values: list[str], keypoints: int) -> list[str]:
    """Box, confidence and track of a line that may have this many numbers of keypoints."""
    found = values if len(values) in _BOX_LENGTHS else without_keypoints(values, keypoints)
    if len(found) not in _BOX_LENGTHS:
        raise fields.malformed(
            f"{len(values)} numbers are not a box, {keypoints} of keypoints (kpt_shape) and a"
            " confidence: predict with save_conf=True"
        )
    return found

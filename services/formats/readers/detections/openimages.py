"""Open Images' CSV: `ImageID,LabelName,Score,XMin,XMax,YMin,YMax`, in any order of columns.

Corners as fractions; the score is `Score` (as tensorflow/models evaluates them, see
object_detection/metrics/oid_challenge_evaluation_utils.py) or `Confidence` (the data set's own
boxes). `ImageID` is the image's name without ending. With a file of names, such as
`class-descriptions-boxable.csv`, `LabelName` is a code in it.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.readers.detections.boxes import RelativeBox, from_corners
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.deepstream import as_number
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output
from services.formats.readers.folders import columns_of

_SIDES = ("XMin", "YMin", "XMax", "YMax")
_COLUMNS = {"ImageID", "LabelName", *_SIDES}
_SCORES = ("Score", "Confidence")


def recognises(files: OutputFiles) -> bool:
    """Whether a file's first line has these columns."""
    return any(columns_of(file) >= _COLUMNS for file, _ in files.texts())


def read(files: OutputFiles) -> Output:
    """The boxes of all rows.

    Raises
    ------
    InvalidRecord
        `invalid_csv`, or the file with the classes' names is unreadable.
    """
    found, names = Output(files.path), files.names
    for file, _ in files.texts():
        for number, row in _rows(file):
            image = {"file_name": row["ImageID"]} if row.get("ImageID") else {}
            found.add(image, row, f"{file}:{number}", lambda record: _converted(record, names))
    return found


def _rows(file: Path) -> Iterator[tuple[int, Record]]:
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            reader = csv.DictReader(opened, restkey="more")
            for row in reader:
                yield reader.line_num, row
    except csv.Error as exc:
        raise InvalidRecord(f"{file}: not CSV: {exc}", reason="invalid_csv") from exc
    except OSError as exc:
        raise InvalidRecord(f"{file}: {exc.strerror}", reason="unreadable_file") from exc


def _converted(row: Record, names: ClassNames | None) -> Record:
    sides = [as_number(row.get(side) or "") for side in _SIDES]
    score = next((row[column] for column in _SCORES if row.get(column)), None)
    if score is None:
        raise fields.malformed("the row has no Score")
    label = row.get("LabelName")
    return {
        **({"category_name": label} if names is None else names.record_of(label)),
        "score": as_number(score),
        "bbox": RelativeBox(*from_corners(sides)),
    }

"""Reads a data set with Datumaro, says what it has seen, and writes it again.

Run by Datumaro's own interpreter: FORMAT FOLDER NEW-FORMAT NEW-FOLDER.
"""

import json
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

from datumaro import Dataset  # noqa: E402


def pixels(annotation: Any) -> list[int] | None:
    """Of a mask: their count, and the first and last column and row."""
    if annotation.type.name != "mask":
        return None
    rows, columns = annotation.image.nonzero()
    ends = (columns.min(), rows.min(), columns.max(), rows.max())
    return [len(rows), *map(int, ends)]


form, folder, new_form, new_folder = sys.argv[1:]
dataset = Dataset.import_from(folder, form)
labels = dataset.categories()[
    next(category for category in dataset.categories() if category.name == "label")
]
seen = {
    item.id: [
        {
            "label": labels[annotation.label].name,
            "type": annotation.type.name,
            "bbox": [float(side) for side in annotation.get_bbox()],
            "pixels": pixels(annotation),
            "attributes": {str(key): value for key, value in annotation.attributes.items()},
        }
        for annotation in item.annotations
    ]
    for item in dataset
}
if new_form == "yolo_ultralytics":  # it insists on these two
    dataset.transform("random_split", splits=[("train", 0.5), ("val", 0.5)])
dataset.export(new_folder, new_form, save_media=False)
sys.stdout.write(json.dumps(seen))

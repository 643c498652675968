"""Reads a data set with Datumaro, says what it has seen, and writes it again.

Run by Datumaro's own interpreter: FORMAT FOLDER NEW-FORMAT NEW-FOLDER.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")

from datumaro import Dataset  # noqa: E402

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

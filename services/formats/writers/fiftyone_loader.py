"""Build a FiftyOne data set of the folder that this file is in: `python load.py [NAME]`.

Written by `gazeloop export --format fiftyone`; needs FiftyOne, and nothing of Gazeloop. The data
set has `ground_truth` and a field of detections per detector version. Needles have the tag `needle`
and their error type. Gazeloop's vectors are the brain runs `frames` and, per detector, `regions_…`.
"""

import base64
import json
import re
import sys
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
from fiftyone import ViewField

FOLDER = Path(__file__).resolve().parent


def main(name: str = FOLDER.name) -> None:
    """Create the data set, or replace the one of the same name, and keep it in FiftyOne."""
    with (FOLDER / "samples.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    detectors = sorted({detector for record in records for detector in record["predictions"]})
    fields = fields_of(detectors)
    dataset = fo.Dataset(name, overwrite=True, persistent=True)
    dataset.add_samples([sample_of(record, fields) for record in records])
    ids = dict(zip((record["frame_id"] for record in records), dataset.values("id"), strict=True))
    add_frame_vectors(dataset, records, ids)
    add_region_vectors(dataset, records, ids, fields)
    runs = ", ".join(dataset.list_brain_runs())
    sys.stdout.write(
        f"{name}: {len(dataset)} samples; brain runs: {runs}\n"
        f'Look at it: fiftyone app launch "{name}"\n'
    )


def fields_of(detectors: list[str]) -> dict[str, str]:
    """The field of each detector version; a number tells names apart that would be one field."""
    fields: dict[str, str] = {}
    for detector in detectors:
        plain = re.sub(r"\W", "_", detector)
        names = chain([plain], (f"{plain}_{number}" for number in count(2)))
        fields[detector] = next(name for name in names if name not in fields.values())
    return fields


def sample_of(record: dict[str, Any], fields: dict[str, str]) -> fo.Sample:
    """One frame."""
    sample = fo.Sample(
        filepath=str(FOLDER / record["file"]),
        tags=record["tags"],
        frame_id=record["frame_id"],
        vehicle_id=record["vehicle_id"],
        drive_id=record["drive_id"],
        captured_at=datetime.fromisoformat(record["captured_at"]),
    )
    if record["location"]:
        sample["location"] = fo.GeoLocation(point=record["location"])
    for key, value in record["frame_tags"].items():
        sample["tag_" + re.sub(r"\W", "_", key)] = value
    if record["ground_truth"] is not None:
        sample["ground_truth"] = detections(record["ground_truth"])
    for detector, labels in record["predictions"].items():
        sample[fields[detector]] = detections(labels)
    return sample


def detections(labels: list[dict[str, Any]]) -> fo.Detections:
    """Labels of one field of one frame."""
    drawn = []
    for label in labels:
        fields = {key: value for key, value in label.items() if key not in {"dimension", "mask"}}
        shown = {"mask": mask_of(label["mask"])} if label["mask"] else {}
        drawn.append(fo.Detection(**fields, **shown, has_vector=label.get("dimension") is not None))
    return fo.Detections(detections=drawn)


def mask_of(mask: dict[str, Any]) -> Any:
    """A mask within its box, (H, W) bool."""
    height, width = mask["size"]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(mask["bits"]), np.uint8))
    return bits[: height * width].reshape(height, width).astype(bool)


def add_frame_vectors(
    dataset: fo.Dataset, records: list[dict[str, Any]], ids: dict[str, str]
) -> None:
    """The brain run `frames`, of all frames that have a vector."""
    embedded = [record for record in records if record["dimension"]]
    if embedded:
        rows = vectors("frames.f32", embedded[0]["dimension"])
        names = [ids[record["frame_id"]] for record in embedded]
        found = dict(zip(names, rows, strict=True))
        fob.compute_similarity(dataset.select(names), embeddings=found, brain_key="frames")


def add_region_vectors(
    dataset: fo.Dataset,
    records: list[dict[str, Any]],
    ids: dict[str, str],
    fields: dict[str, str],
) -> None:
    """A brain run per detector, of its detections that have a vector."""
    dimensions = [
        label["dimension"]
        for record in records
        for labels in record["predictions"].values()
        for label in labels
        if label["dimension"]
    ]
    if not dimensions:
        return
    rows = iter(vectors("regions.f32", dimensions[0]))
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        for detector, labels in record["predictions"].items():
            region_vectors = [next(rows) for label in labels if label["dimension"]]
            if region_vectors:
                found.setdefault(detector, {})[ids[record["frame_id"]]] = np.array(region_vectors)
    for detector, embeddings in found.items():
        field = fields[detector]
        view = dataset.select(list(embeddings)).filter_labels(field, ViewField("has_vector"))
        fob.compute_similarity(
            view, patches_field=field, embeddings=embeddings, brain_key=f"regions_{field}"
        )


def vectors(file: str, dimension: int) -> Any:
    """The rows of a file, (N, dimension) float32."""
    return np.fromfile(FOLDER / file, "<f4").reshape(-1, dimension)


if __name__ == "__main__":
    main(*sys.argv[1:2])

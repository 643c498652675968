"""The names of the formats of detectors' output; imports no library, so that help is fast."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class FormatName(StrEnum):
    """The names of the formats."""

    AUTO = "auto"
    COCO = "coco"
    ULTRALYTICS_PREDICTIONS = "ultralytics-predictions"
    ULTRALYTICS_JSON = "ultralytics-json"
    YOLO_TEXT = "yolo-txt"
    ROBOFLOW = "roboflow"
    TORCHVISION = "torchvision"
    MMDETECTION = "mmdetection"
    DEEPSTREAM = "deepstream"
    DEEPSTREAM_FULL = "deepstream-full"
    DLSTREAMER = "dlstreamer"
    SAVANT = "savant"
    FRIGATE = "frigate"
    OPENIMAGES = "openimages-csv"


DESCRIPTIONS: Final[Mapping[FormatName, str]] = {
    FormatName.COCO: "COCO results, as detectron2 and mmdetection's evaluation write them",
    FormatName.ULTRALYTICS_PREDICTIONS: "Ultralytics' predictions.json (val, save_json=True)",
    FormatName.ULTRALYTICS_JSON: "Ultralytics' Results.to_json(), a file or a key per image",
    FormatName.YOLO_TEXT: "YOLO text files with confidences, one per image",
    FormatName.ROBOFLOW: "Roboflow Inference's responses, a file or a key per image",
    FormatName.TORCHVISION: "boxes, labels and scores of torchvision's models",
    FormatName.MMDETECTION: "mmdetection's files in preds/, one per image",
    FormatName.DEEPSTREAM: "NVIDIA DeepStream messages, minimal schema",
    FormatName.DEEPSTREAM_FULL: "NVIDIA DeepStream messages, full schema",
    FormatName.DLSTREAMER: "Intel DL Streamer's gvametaconvert messages",
    FormatName.SAVANT: "Savant's frame metadata, of its sink metadata_json",
    FormatName.FRIGATE: "Frigate's events, of MQTT or the API",
    FormatName.OPENIMAGES: "Open Images' CSV of boxes",
}

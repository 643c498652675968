"""The names of the export formats; imports no library, so that help is fast."""

from enum import StrEnum


class Format(StrEnum):
    """The export formats."""

    COCO = "coco"
    VOC = "voc"
    YOLO = "yolo"
    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"
    DATUMARO = "datumaro"

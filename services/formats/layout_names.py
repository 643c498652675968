"""The names of the formats of annotated data sets; imports no library, so that help is fast."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class LayoutName(StrEnum):
    """The names of the formats."""

    AUTO = "auto"
    COCO = "coco"
    VOC = "voc"
    VIA = "via"
    VIA_3 = "via3"
    YOLO = "yolo"
    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"
    LABELME = "labelme"
    KITTI = "kitti"
    SCALABEL = "scalabel"
    OPENIMAGES = "openimages"
    DATUMARO = "datumaro"


LAYOUTS: Final[Mapping[LayoutName, str]] = {
    LayoutName.COCO: "COCO instances",
    LayoutName.VOC: "Pascal VOC, an XML file per image",
    LayoutName.VIA: "VIA 1 or 2, a project or its annotations",
    LayoutName.VIA_3: "VIA 3 project",
    LayoutName.YOLO: "YOLO text files, with data.yaml, obj.names or classes.txt",
    LayoutName.CVAT: "CVAT XML, for images or for video 1.1",
    LayoutName.LABEL_STUDIO: "Label Studio JSON",
    LayoutName.LABELME: "LabelMe, a JSON file per image",
    LayoutName.KITTI: "KITTI labels, a text file per image",
    LayoutName.SCALABEL: "BDD100K or Scalabel JSON",
    LayoutName.OPENIMAGES: "Open Images, a CSV file of boxes",
    LayoutName.DATUMARO: "Datumaro JSON",
}
"""What each is."""

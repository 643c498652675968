"""Repairs and assumptions that readers and rules make instead of refusing a record."""

from enum import StrEnum
from typing import Final


class Adjustment(StrEnum):
    """One kind of repair or assumption; the value is its code in logs and counts."""

    ROTATED_BOX = "rotated_box_made_upright"
    SCALED = "scaled_to_image"
    TURNED = "turned_to_upright"
    ORIENTATION_ASSUMED = "orientation_assumed_applied"
    MASK_LEFT_OUT = "mask_left_out"
    MASK_SCALED = "mask_scaled"
    SCORE_CLIPPED = "score_clipped"
    CORNERS_SORTED = "corners_sorted"
    BOX_FROM_POLYGON = "box_from_polygon"
    KEYPOINTS_LEFT_OUT = "keypoints_left_out"
    SIZE_READ = "image_size_read"
    IMAGE_BY_STEM = "image_by_stem"
    IMAGE_SHARED = "image_shared"
    RESULT_BY_FILE_NAME = "result_by_file_name"
    CATEGORY_BY_NAME = "category_by_name"
    NO_DETECTIONS_LEFT = "all_detections_refused"
    DETECTIONS_OVER_LIMIT = "detections_over_limit"
    NO_SHAPE = "without_shape_left_out"

    def sentence(self, count: int) -> str:
        """Describe the adjustment and its count for the user."""
        return _SENTENCES[self].format(count=f"{count:,}")


_SENTENCES: Final = {
    Adjustment.ROTATED_BOX: "{count} rotated boxes: replaced by their upright bounding boxes",
    Adjustment.SCALED: "{count} frames: boxes scaled from the declared size to the image's",
    Adjustment.TURNED: "{count} frames: boxes rotated with the image, by its EXIF orientation",
    Adjustment.ORIENTATION_ASSUMED: "{count} frames have an EXIF orientation, and their declared"
    " size fits both ways: boxes are assumed to be drawn on the upright image",
    Adjustment.MASK_LEFT_OUT: "{count} masks whose size differs from their image's were dropped;"
    " their boxes were kept",
    Adjustment.MASK_SCALED: "{count} masks were scaled to the size of their image",
    Adjustment.SCORE_CLIPPED: "{count} scores above 1 by rounding were set to 1",
    Adjustment.CORNERS_SORTED: "{count} boxes with exchanged corners: the corners were sorted",
    Adjustment.BOX_FROM_POLYGON: "{count} records without a bbox: it was computed from their mask"
    " or polygon",
    Adjustment.KEYPOINTS_LEFT_OUT: "{count} boxes were read without their keypoints",
    Adjustment.SIZE_READ: "{count} frames without width and height: read from the image",
    Adjustment.IMAGE_BY_STEM: "{count} files name another image: the image of the file's own"
    " name was used",
    Adjustment.IMAGE_SHARED: "{count} files name an image that another file names too",
    Adjustment.RESULT_BY_FILE_NAME: "{count} results were assigned by file name; their image_id is"
    " another image's",
    Adjustment.CATEGORY_BY_NAME: "{count} records were assigned by category name; their"
    " category_id is another category's",
    Adjustment.NO_DETECTIONS_LEFT: "{count} frames have no predictions, because all of their"
    " detections were refused",
    Adjustment.DETECTIONS_OVER_LIMIT: "{count} detections beyond the limit per frame were dropped,"
    " lowest scores first (GAZELOOP_MAX_DETECTIONS_PER_FRAME)",
    Adjustment.NO_SHAPE: "{count} results without the shape of an object (choices, text, tags,"
    " lanes) were ignored",
}

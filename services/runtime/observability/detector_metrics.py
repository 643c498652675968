"""The gauges of detectors: what the evaluator and the retriever found about them.

The rest of what Gazeloop exports is in `metrics`; the same rules hold for labels.
"""

from prometheus_client import Gauge

# subset is one of all, R, H, S and H-S. With several evaluators, each exports figures of
# its own categories: deploy/prometheus/rules/recording.yml has those of all of them.

MAP = Gauge(
    "gazeloop_map",
    "Mean average precision over IoU .50 to .95, as defined by COCO.",
    ["detector", "subset"],
)
MAP_AP50 = Gauge("gazeloop_map_ap50", "Mean average precision at IoU .50.", ["detector", "subset"])
MAP_AP75 = Gauge("gazeloop_map_ap75", "Mean average precision at IoU .75.", ["detector", "subset"])
MAP_CATEGORIES = Gauge(
    "gazeloop_map_categories",
    "Categories with ground truth in a subset, whose mean its mAP, AP50 and AP75 are.",
    ["detector", "subset"],
)
CATEGORY_AP = Gauge(
    "gazeloop_category_ap",
    "Average precision of one category over IoU .50 to .95.",
    ["detector", "subset", "category"],
)
EVALUATED_FRAMES = Gauge(
    "gazeloop_evaluated_frames",
    "Frames that a subset's metrics are computed from.",
    ["detector", "subset"],
)
EVALUATED_DETECTIONS = Gauge(
    "gazeloop_evaluated_detections",
    "Detections that a subset's metrics are computed from.",
    ["detector", "subset"],
)
EVALUATED_GROUND_TRUTHS = Gauge(
    "gazeloop_evaluated_ground_truths",
    "Annotations, except ignored ones, that a subset's metrics are computed from.",
    ["detector", "subset"],
)
OPERATING_PRECISION = Gauge(
    "gazeloop_operating_precision",
    "Precision at the operating score and IoU .50.",
    ["detector", "subset"],
)
OPERATING_RECALL = Gauge(
    "gazeloop_operating_recall",
    "Recall at the operating score and IoU .50.",
    ["detector", "subset"],
)
OPERATING_F1 = Gauge(
    "gazeloop_operating_f1", "F1 at the operating score and IoU .50.", ["detector", "subset"]
)
OPERATING_MEAN_IOU = Gauge(
    "gazeloop_operating_mean_iou",
    "Mean IoU of the true positives at the operating score.",
    ["detector", "subset"],
)
OPERATING_TRUE_POSITIVES = Gauge(
    "gazeloop_operating_true_positives",
    "True positives at the operating score and IoU .50.",
    ["detector", "subset"],
)
OPERATING_DETECTIONS = Gauge(
    "gazeloop_operating_detections",
    "True and false positives at the operating score and IoU .50.",
    ["detector", "subset"],
)
FALSE_POSITIVES = Gauge(
    "gazeloop_false_positives",
    "False positives at the operating score and IoU .50, by TIDE's error type.",
    ["detector", "subset", "error_type"],
)
ERROR_COST = Gauge(
    "gazeloop_error_cost",
    "AP at IoU .50 that an error type costs, over all frames: TIDE's dAP.",
    ["detector", "error_type"],
)
MAP_WINDOW = Gauge(
    "gazeloop_map_window",
    "Mean average precision of the frames captured in the last 1h, 24h or 7d of event time.",
    ["detector", "subset", "window"],
)
MAP_WINDOW_CATEGORIES = Gauge(
    "gazeloop_map_window_categories",
    "Categories with ground truth in a subset's window, whose mean its mAP is.",
    ["detector", "subset", "window"],
)
MAP_BOUND = Gauge(
    "gazeloop_map_bound",
    "95% confidence interval of mAP, by bound: low or high.",
    ["detector", "subset", "bound"],
)
MAP_DIFFERENCE = Gauge(
    "gazeloop_map_difference",
    "Difference of two detectors' mAP on the same frames, by bound: value, low or high (95%).",
    ["detector", "other", "bound"],
)
VERSION_FAMILIES = Gauge(
    "gazeloop_version_families",
    "Families of failures on reference frames by what a version made of them, compared with the"
    " version before: fixed, better, same, worse, broken.",
    ["detector", "other", "change"],
)
VERSION_MAP_DIFFERENCE = Gauge(
    "gazeloop_version_map_difference",
    "Difference of a version's mAP from the one before on the reference frames of both, by bound:"
    " value, low or high (95%).",
    ["detector", "other", "bound"],
)
SLICE_MAP = Gauge(
    "gazeloop_slice_map",
    "mAP on the frames with one tag, or with two, by bound: value, low or high (95%); of the 30"
    " slices ranked worst.",
    ["detector", "slice", "bound"],
)
SLICE_PRECISION = Gauge(
    "gazeloop_slice_precision",
    "Precision at the operating score on the frames of a slice, by bound: value, low, high (95%).",
    ["detector", "slice", "bound"],
)
SLICE_RECALL = Gauge(
    "gazeloop_slice_recall",
    "Recall at the operating score on the frames of a slice, by bound: value, low or high (95%).",
    ["detector", "slice", "bound"],
)
SLICE_WORSE = Gauge(
    "gazeloop_slice_worse",
    "1 if the detector is significantly worse on the frames of a slice than elsewhere.",
    ["detector", "slice"],
)
ESTIMATED_PRECISION = Gauge(
    "gazeloop_estimated_precision",
    "Precision at the operating score, estimated without ground truth, by bound: value, low or high"
    " (95%; absent where no interval would be honest, all three where too many frames look like"
    " nothing annotated); of all unannotated frames, and of the 29 tags with the lowest upper"
    " bounds.",
    ["detector", "slice", "bound"],
)
REFERENCE_PRECISION = Gauge(
    "gazeloop_reference_precision",
    "Precision at the operating score on the reference, measured, by bound: value, low or high"
    " (95%).",
    ["detector", "bound"],
)
EMBEDDING_DRIFT = Gauge(
    "gazeloop_embedding_drift",
    "Share of unannotated frames that look like nothing annotated, by bound: value, low or high"
    " (95%); 0.05 where nothing drifts.",
    ["detector", "slice", "bound"],
)
VEHICLES_DRIFTING = Gauge(
    "gazeloop_vehicles_drifting",
    "Vehicles whose frames differ from the fleet's, by measure: scores, classes or map.",
    ["detector", "measure"],
)
VEHICLE_DRIFT = Gauge(
    "gazeloop_vehicle_drift",
    "Distance of a drifting vehicle from the fleet; at most 50 vehicles.",
    ["detector", "measure", "vehicle"],
)

# Yield of shortlists; bound is value, low or high (95%)

SHORTLIST_YIELD = Gauge(
    "gazeloop_shortlist_yield",
    "Share of false positives among shortlisted regions with ground truth, and among as many drawn"
    " from the same categories, drives and hours: shortlist, random, lowest_score, highest_score.",
    ["detector", "draw", "bound"],
)
SHORTLIST_LIFT = Gauge(
    "gazeloop_shortlist_lift",
    "Yield of shortlists divided by that of a draw: random, lowest_score or highest_score.",
    ["detector", "draw", "bound"],
)
SHORTLIST_GAIN = Gauge(
    "gazeloop_shortlist_gain",
    "Normalised yield, (yield - random) / (1 - random): 0 equals the random draw, 1 is perfect.",
    ["detector", "bound"],
)
HAYSTACK_ESTIMATE = Gauge(
    "gazeloop_haystack_estimate",
    "Figure of the whole haystack, estimated from frames drawn by chance: map, precision, recall or"
    " lift; bound: value, low or high (95%).",
    ["detector", "figure", "bound"],
)
SHORTLIST_VERDICTS = Gauge(
    "gazeloop_shortlist_verdicts",
    "Shortlisted regions with ground truth, by verdict: confirmed or rejected.",
    ["detector", "verdict"],
)
SHORTLIST_CALIBRATION_ERROR = Gauge(
    "gazeloop_shortlist_calibration_error",
    "Expected calibration error of learnt evidence on shortlisted regions with ground truth.",
    ["detector", "category"],
)
SHORTLIST_CALIBRATION_COUNT = Gauge(
    "gazeloop_shortlist_calibration_verdicts",
    "Shortlisted regions that the calibration error is computed from.",
    ["detector", "category"],
)

# Families of needles; state is open or resolved

FAMILIES = Gauge("gazeloop_families", "Families of needles, by state.", ["detector", "state"])
FAMILY_NEEDLES = Gauge(
    "gazeloop_family_needles",
    "Needles of a family; of the 50 largest families only.",
    ["detector", "category", "error_type", "family", "state"],
)

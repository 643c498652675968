"""For ML engineers: what a detector version gets wrong."""

from deploy.grafana.charts import PRECISION, Board, Chart, Query, Row, Shape
from deploy.grafana.queries import (
    CATEGORY,
    CHOSEN,
    DETECTORS,
    ENVIRONMENTS,
    MEAN_AP,
    VEHICLE,
    VERSIONS,
    or_none,
)

DETECTOR = Board(
    uid="gazeloop-detector",
    title="Gazeloop: detector",
    about="Accuracy of detector versions, and their errors.",
    labels=ENVIRONMENTS
    | DETECTORS
    | {"category": "gazeloop_category_ap", "vehicle": "gazeloop_vehicle_drift"},
    rows=(
        Row(
            "Average precision",
            (
                Chart(
                    1,
                    "AP by category",
                    "Average precision of each category over all frames, IoU .50 to .95.",
                    PRECISION,
                    (
                        Query(
                            "category:gazeloop_category_ap:max"
                            f'{{{CHOSEN}, category=~"$category", subset="all"}}',
                            "{{detector}} {{category}}",
                        ),
                    ),
                    width=12,
                    link=CATEGORY,
                ),
                Chart(
                    2,
                    "AP on shortlisted frames",
                    "AP of each category on shortlisted frames. The lower it is below the AP of"
                    " all frames, the better the shortlists.",
                    PRECISION,
                    (
                        Query(
                            "category:gazeloop_category_ap:max"
                            f'{{{CHOSEN}, category=~"$category", subset="S"}}',
                            "{{detector}} {{category}}",
                        ),
                    ),
                    width=12,
                    link=CATEGORY,
                ),
                Chart(
                    3,
                    "Versions side by side",
                    "mAP, AP50 and AP75 over all frames, for every selected version.",
                    PRECISION,
                    (
                        Query(f'{MEAN_AP}{{{CHOSEN}, subset="all"}}', "{{detector}} mAP"),
                        Query(
                            f'subset:gazeloop_map_ap50:avg{{{CHOSEN}, subset="all"}}',
                            "{{detector}} AP50",
                        ),
                        Query(
                            f'subset:gazeloop_map_ap75:avg{{{CHOSEN}, subset="all"}}',
                            "{{detector}} AP75",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    width=12,
                ),
                Chart(
                    4,
                    "Annotations and detections",
                    "Number of annotations and detections that the metrics are computed from.",
                    "short",
                    (
                        Query(
                            "sum by (detector)"
                            f' (gazeloop_evaluated_ground_truths{{{CHOSEN}, subset="all"}})',
                            "{{detector}} ground truths",
                        ),
                        Query(
                            "sum by (detector)"
                            f' (gazeloop_evaluated_detections{{{CHOSEN}, subset="all"}})',
                            "{{detector}} detections",
                        ),
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "At the operating score",
            (
                Chart(
                    5,
                    "Precision, recall and F1",
                    "At the operating score and IoU .50, over all frames.",
                    "percentunit",
                    tuple(
                        Query(
                            f'subset:gazeloop_operating_{name}:ratio{{{CHOSEN}, subset="all"}}',
                            f"{{{{detector}}}} {name}",
                        )
                        for name in ("precision", "recall", "f1")
                    ),
                ),
                Chart(
                    18,
                    "The whole haystack, estimated",
                    "Estimated from frames drawn by chance (GAZELOOP_SAMPLED_SHARE), with 95%"
                    " intervals. Most annotated frames were chosen because they are hard.",
                    "percentunit",
                    tuple(
                        Query(
                            "max by (detector, bound) (gazeloop_haystack_estimate"
                            f'{{{CHOSEN}, figure="{figure}"}}) {or_none("detector")}',
                            f"{{{{detector}}}} {title} {{{{bound}}}}",
                        )
                        for figure, title in (
                            ("map", "mAP"),
                            ("precision", "precision"),
                            ("recall", "recall"),
                        )
                    ),
                ),
                Chart(
                    6,
                    "Mean IoU",
                    "Mean IoU of the true positives at the operating score: how accurate the"
                    " boxes are.",
                    "percentunit",
                    (
                        Query(
                            f'subset:gazeloop_operating_mean_iou:avg{{{CHOSEN}, subset="all"}}',
                            "{{detector}}",
                        ),
                    ),
                ),
                Chart(
                    7,
                    "False positives by error type",
                    "False positives at the operating score over all frames, by TIDE's error"
                    " types.",
                    "short",
                    (
                        Query(
                            "sum by (detector, error_type)"
                            f' (gazeloop_false_positives{{{CHOSEN}, subset="all"}})',
                            "{{detector}} {{error_type}}",
                        ),
                    ),
                ),
                Chart(
                    13,
                    "AP cost by error type",
                    "AP at IoU .50 that would be gained if only errors of this type were fixed"
                    " (TIDE's dAP).",
                    PRECISION,
                    (
                        Query(
                            f"max by (detector, error_type) (gazeloop_error_cost{{{CHOSEN}}})",
                            "{{detector}} {{error_type}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Confidence and trends",
            (
                Chart(
                    8,
                    "mAP with its confidence interval",
                    "mAP over all frames, with its 95% confidence interval. A wide interval means"
                    " few frames. With several evaluators, it is wider than necessary.",
                    PRECISION,
                    (
                        Query(f'{MEAN_AP}{{{CHOSEN}, subset="all"}}', "{{detector}}"),
                        Query(
                            f'subset:gazeloop_map_bound:avg{{{CHOSEN}, subset="all"}}',
                            "{{detector}} {{bound}}",
                        ),
                    ),
                ),
                Chart(
                    9,
                    "mAP of the last hour, day and week",
                    "mAP of the frames captured in each window, to compare recent frames with"
                    " older ones. A window ends with the last frame captured.",
                    PRECISION,
                    (
                        Query(
                            f'subset:gazeloop_map_window:avg{{{CHOSEN}, subset="all"}}',
                            "{{detector}} {{window}}",
                        ),
                    ),
                ),
                Chart(
                    10,
                    "Versions against each other",
                    "Difference in mAP of two versions on the same frames, with its 95%"
                    " confidence interval. If the interval contains 0, the versions may be equal."
                    " With several evaluators, both are approximate.",
                    PRECISION,
                    (
                        Query(
                            f"detector:gazeloop_map_difference:avg{{{CHOSEN}}}"
                            f" {or_none('detector')}",
                            "{{detector}} - {{other}} {{bound}}",
                        ),
                    ),
                ),
                Chart(
                    11,
                    "Vehicles that drift",
                    "Number of vehicles whose scores, classes or mAP differ from the fleet's.",
                    "short",
                    (
                        Query(
                            "max by (detector, measure)"
                            f" (gazeloop_vehicles_drifting{{{CHOSEN}}}) {or_none('detector')}",
                            "{{detector}} {{measure}}",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    bad=1,
                ),
                Chart(
                    12,
                    "Size of the drift",
                    "Distance of each drifting vehicle from the fleet. Check its camera first.",
                    "short",
                    (
                        Query(
                            "max by (detector, measure, vehicle) (gazeloop_vehicle_drift"
                            f'{{{CHOSEN}, vehicle=~"$vehicle"}}) {or_none("vehicle")}',
                            "{{vehicle}} {{measure}}",
                        ),
                    ),
                    width=16,
                    link=VEHICLE,
                ),
            ),
        ),
        Row(
            "What a new version changed",
            (
                Chart(
                    14,
                    "Families fixed and broken",
                    "Families of failures on reference frames, by what the version made of them"
                    " compared with the one before; significant at 5%.",
                    "short",
                    (
                        Query(
                            "max by (detector, other, change) (gazeloop_version_families"
                            f'{{{CHOSEN}, change!="same"}}) {or_none("detector")}',
                            "{{detector}} after {{other}} {{change}}",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    width=12,
                    link=VERSIONS,
                ),
                Chart(
                    15,
                    "mAP on reference frames, compared with the version before",
                    "The paired difference on the frames that both versions processed, with its 95%"
                    " interval. No training set contains reference frames.",
                    PRECISION,
                    (
                        Query(
                            "max by (detector, other, bound)"
                            f" (gazeloop_version_map_difference{{{CHOSEN}}}) {or_none('detector')}",
                            "{{detector}} - {{other}} {{bound}}",
                        ),
                    ),
                    width=12,
                    link=VERSIONS,
                ),
            ),
        ),
        Row(
            "Slices",
            (
                Chart(
                    16,
                    "mAP of slices",
                    "Frames with one tag or two, those where the detector is worst compared with"
                    " all other frames.",
                    PRECISION,
                    (
                        Query(
                            "max by (detector, slice)"
                            f' (gazeloop_slice_map{{{CHOSEN}, bound="value"}})'
                            f" {or_none('detector')}",
                            "{{detector}} {{slice}}",
                        ),
                    ),
                    width=12,
                ),
                Chart(
                    17,
                    "Slices that are worse",
                    "Their mAP, precision or recall is significantly lower, at 5% after Holm's"
                    " correction.",
                    "short",
                    (
                        Query(
                            "sum by (detector)"
                            f" (max by (detector, slice) (gazeloop_slice_worse{{{CHOSEN}}}))"
                            f" {or_none('detector')}",
                            "{{detector}}",
                        ),
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "Without ground truth",
            (
                Chart(
                    20,
                    "Estimated precision",
                    "Of unannotated frames, by slice: upper bounds, next to the lower bound of what"
                    " was measured on the reference. A slice below it is worse.",
                    "percentunit",
                    (
                        Query(
                            "max by (detector, slice)"
                            f' (gazeloop_estimated_precision{{{CHOSEN}, bound="high"}})'
                            f" {or_none('detector')}",
                            "{{detector}} {{slice}}",
                        ),
                        Query(
                            "max by (detector)"
                            f' (gazeloop_reference_precision{{{CHOSEN}, bound="low"}})'
                            f" {or_none('detector')}",
                            "{{detector}} reference",
                        ),
                    ),
                    width=12,
                ),
                Chart(
                    21,
                    "Embedding drift",
                    "Share of a slice's frames that look like nothing annotated: 5% where nothing"
                    " drifts. Where more than 20% do, precision has no interval.",
                    "percentunit",
                    (
                        Query(
                            "max by (detector, slice)"
                            f' (gazeloop_embedding_drift{{{CHOSEN}, bound="value"}})'
                            f" {or_none('detector')}",
                            "{{detector}} {{slice}}",
                        ),
                    ),
                    width=12,
                ),
            ),
        ),
    ),
)

"""For ML engineers: what a detector version gets wrong."""

from deploy.grafana.charts import Board, Chart, Query, Row, Shape
from deploy.grafana.queries import CHOSEN, DETECTORS, ENVIRONMENTS, MEAN_AP, OR_NONE

DETECTOR = Board(
    uid="gazeloop-detector",
    title="Gazeloop: detector",
    about="What a detector version is good at, and what it gets wrong.",
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
                    "percentunit",
                    (
                        Query(
                            "category:gazeloop_category_ap:max"
                            f'{{{CHOSEN}, category=~"$category", subset="all"}}',
                            "{{detector}} {{category}}",
                        ),
                    ),
                    width=12,
                ),
                Chart(
                    2,
                    "AP of what is shortlisted",
                    "The same on shortlisted frames: the lower, the better the shortlists are.",
                    "percentunit",
                    (
                        Query(
                            "category:gazeloop_category_ap:max"
                            f'{{{CHOSEN}, category=~"$category", subset="S"}}',
                            "{{detector}} {{category}}",
                        ),
                    ),
                    width=12,
                ),
                Chart(
                    3,
                    "Versions side by side",
                    "mAP, AP50 and AP75 over all frames, for every version that is chosen above.",
                    "percentunit",
                    (
                        Query(f'{MEAN_AP}{{{CHOSEN}, subset="all"}}', "{{detector}} mAP"),
                        Query(
                            "avg by (environment, detector)"
                            f' (gazeloop_map_ap50{{{CHOSEN}, subset="all"}})',
                            "{{detector}} AP50",
                        ),
                        Query(
                            "avg by (environment, detector)"
                            f' (gazeloop_map_ap75{{{CHOSEN}, subset="all"}})',
                            "{{detector}} AP75",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    width=12,
                ),
                Chart(
                    4,
                    "Annotations and detections behind it",
                    "How much each figure rests on.",
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
                            "avg by (detector)"
                            f' (gazeloop_operating_{name}{{{CHOSEN}, subset="all"}})',
                            f"{{{{detector}}}} {name}",
                        )
                        for name in ("precision", "recall", "f1")
                    ),
                ),
                Chart(
                    6,
                    "Mean IoU",
                    "Of the true positives: how well the boxes sit.",
                    "percentunit",
                    (
                        Query(
                            "avg by (detector)"
                            f' (gazeloop_operating_mean_iou{{{CHOSEN}, subset="all"}})',
                            "{{detector}}",
                        ),
                    ),
                ),
                Chart(
                    7,
                    "False positives by error type",
                    "TIDE's error types, over all frames: what kind of wrong it mostly is.",
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
                    "What each kind of error costs",
                    "AP at IoU .50 that would be gained were this kind alone repaired: what is"
                    " worth the work.",
                    "percentunit",
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
            "How sure, and how it moves",
            (
                Chart(
                    8,
                    "mAP with its interval",
                    "mAP over all frames, and where it lies with 95% confidence. Wide: few frames.",
                    "percentunit",
                    (
                        Query(f'{MEAN_AP}{{{CHOSEN}, subset="all"}}', "{{detector}}"),
                        Query(
                            "avg by (detector, bound)"
                            f' (gazeloop_map_bound{{{CHOSEN}, subset="all"}})',
                            "{{detector}} {{bound}}",
                        ),
                    ),
                ),
                Chart(
                    9,
                    "mAP of the last hour, day and week",
                    "By the time of capture: the newest frames against the older ones.",
                    "percentunit",
                    (
                        Query(
                            "avg by (detector, window)"
                            f' (gazeloop_map_window{{{CHOSEN}, subset="all"}})',
                            "{{detector}} {{window}}",
                        ),
                    ),
                ),
                Chart(
                    10,
                    "Versions against each other",
                    "mAP of one version above another's on the same frames, with 95% confidence."
                    " Where the interval holds 0, they may be equal.",
                    "percentunit",
                    (
                        Query(
                            "avg by (detector, other, bound)"
                            f" (gazeloop_map_difference{{{CHOSEN}}}) {OR_NONE}",
                            "{{detector}} - {{other}} {{bound}}",
                        ),
                    ),
                ),
                Chart(
                    11,
                    "Vehicles unlike the fleet",
                    "How many vehicles' scores, classes or mAP are unlike the others'.",
                    "short",
                    (
                        Query(
                            "max by (detector, measure)"
                            f" (gazeloop_vehicles_drifting{{{CHOSEN}}}) {OR_NONE}",
                            "{{detector}} {{measure}}",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    bad=1,
                ),
                Chart(
                    12,
                    "How far they drift",
                    "For each vehicle that drifts, how far it is from the fleet. A dirty camera?",
                    "short",
                    (
                        Query(
                            "max by (detector, measure, vehicle) (gazeloop_vehicle_drift"
                            f'{{{CHOSEN}, vehicle=~"$vehicle"}}) {OR_NONE}',
                            "{{vehicle}} {{measure}}",
                        ),
                    ),
                    width=16,
                ),
            ),
        ),
    ),
)

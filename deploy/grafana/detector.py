"""For ML engineers: what a detector version gets wrong."""

from deploy.grafana.charts import Board, Chart, Query, Row, Shape
from deploy.grafana.queries import CHOSEN, DETECTORS, ENVIRONMENTS, MEAN_AP

DETECTOR = Board(
    uid="gazeloop-detector",
    title="Gazeloop: detector",
    about="What a detector version is good at, and what it gets wrong.",
    labels=ENVIRONMENTS | DETECTORS | {"category": "gazeloop_category_ap"},
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
            ),
        ),
    ),
)

"""The first dashboard to open."""

from deploy.grafana.charts import Board, Chart, Query, Row, Shape
from deploy.grafana.queries import (
    CHOSEN,
    DETECTORS,
    ENVIRONMENTS,
    HERE,
    MEAN_AP,
    OR_NONE,
    gap,
    per_second,
)

OVERVIEW = Board(
    uid="gazeloop-overview",
    title="Gazeloop: overview",
    about="Is it running, and does it find what is wrong?",
    labels=ENVIRONMENTS | DETECTORS | {"vehicle": "gazeloop_vehicle_last_frame_timestamp_seconds"},
    rows=(
        Row(
            "The point of it all",
            (
                Chart(
                    2,
                    "mAP by subset",
                    "Mean average precision (COCO, IoU .50 to .95) of the haystack H, the"
                    " shortlisted S, the rest H-S and the reference R. H-S should lie above H, and"
                    " H above S: then the shortlists hold what the detector gets wrong.",
                    "percentunit",
                    (
                        Query(
                            f'{MEAN_AP}{{{CHOSEN}, subset=~"R|H|S|H-S"}}',
                            "{{detector}} {{subset}}",
                        ),
                    ),
                    width=12,
                ),
                Chart(
                    3,
                    "By how much the order holds",
                    "mAP(H-S) - mAP(H) and mAP(H) - mAP(S). Below 0 the order is violated.",
                    "percentunit",
                    (gap("H-S", "H"), gap("H", "S")),
                    good_above=0,
                ),
                Chart(
                    4,
                    "Order holds",
                    "1 where mAP(H-S) > mAP(H) > mAP(S), by the evaluator's own figures.",
                    "none",
                    (
                        Query(
                            f"min by (environment, detector) (gazeloop_order_holds{{{CHOSEN}}})",
                            "{{detector}}",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    good_above=1,
                    width=4,
                ),
            ),
        ),
        Row(
            "What it finds",
            (
                Chart(
                    5,
                    "Needles found",
                    "False positives on reference frames, at or above the operating score, by"
                    " error type, in the time shown.",
                    "short",
                    (
                        Query(
                            "sum by (error_type) (increase(gazeloop_needles_found_total"
                            f"{{{HERE}}}[$__range])) {OR_NONE}",
                            "{{error_type}}",
                        ),
                    ),
                    shape=Shape.NUMBER,
                ),
                Chart(
                    6,
                    "Shortlists published",
                    "ShortlistPublished events per second by category. Zero while needles are"
                    " found: the retriever is behind.",
                    "cps",
                    (per_second("gazeloop_shortlists_published_total", "category"),),
                ),
                Chart(
                    7,
                    "Frames behind the figures",
                    "How many frames each subset has. Few frames make AP jump.",
                    "short",
                    (
                        Query(
                            "max by (environment, detector, subset)"
                            f" (gazeloop_evaluated_frames{{{CHOSEN}}})",
                            "{{detector}} {{subset}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Is it running?",
            (
                Chart(
                    1,
                    "Instances that answer",
                    "Instances whose /metrics answers, by component. Red: none.",
                    "short",
                    (
                        Query(
                            f'sum by (environment, component) (up{{job="gazeloop", {HERE}}})',
                            "{{component}}",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    good_above=1,
                ),
                Chart(
                    8,
                    "Vehicles: time since the last frame",
                    "How long ago the broker acknowledged a frame of this vehicle. Yellow after"
                    " half an hour; beyond a day it is off duty.",
                    "s",
                    (
                        Query(
                            "time() - max by (environment, vehicle)"
                            " (gazeloop_vehicle_last_frame_timestamp_seconds"
                            f'{{{HERE}, vehicle=~"$vehicle"}})',
                            "{{vehicle}}",
                        ),
                    ),
                    warn=1800,
                    bad=7200,
                    width=16,
                ),
            ),
        ),
    ),
)

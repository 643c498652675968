"""The first dashboard to open."""

from deploy.grafana.charts import PRECISION, Board, Chart, Query, Row, Shape
from deploy.grafana.queries import (
    CATEGORY,
    CHOSEN,
    DETECTORS,
    ENVIRONMENTS,
    HERE,
    MEAN_AP,
    VEHICLE,
    counted,
    gap,
    per_second,
)

OVERVIEW = Board(
    uid="gazeloop-overview",
    title="Gazeloop: overview",
    about="Whether Gazeloop runs, and whether its shortlists find the detector's failures.",
    labels=ENVIRONMENTS | DETECTORS | {"vehicle": "gazeloop_vehicle_last_frame_timestamp_seconds"},
    rows=(
        Row(
            "Do shortlists find failures?",
            (
                Chart(
                    2,
                    "mAP by subset",
                    "Mean average precision (COCO, IoU .50 to .95) of the haystack H, the"
                    " shortlisted frames S, the rest H-S and the reference R. If mAP(H-S) > mAP(H)"
                    " > mAP(S), the shortlists contain the frames on which the detector fails.",
                    PRECISION,
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
                    "Margins of the order",
                    "mAP(H-S) - mAP(H) and mAP(H) - mAP(S). Below 0 the order is violated.",
                    PRECISION,
                    (gap("H-S", "H"), gap("H", "S")),
                    good_above=0,
                ),
                Chart(
                    4,
                    "Order holds",
                    "Whether mAP(H-S) > mAP(H) > mAP(S).",
                    "none",
                    (
                        Query(
                            f"detector:gazeloop_subset_order_holds:bool{{{CHOSEN}}}",
                            "{{detector}}",
                        ),
                    ),
                    shape=Shape.NUMBER,
                    good_above=1,
                    width=4,
                    meanings={0: "order violated", 1: "order holds"},
                ),
            ),
        ),
        Row(
            "Needles and shortlists",
            (
                Chart(
                    5,
                    "Needles found",
                    "False positives on reference frames at or above the operating score, by"
                    " error type, in the selected time range.",
                    "short",
                    (counted("gazeloop_needles_found_total", "error_type"),),
                    shape=Shape.NUMBER,
                ),
                Chart(
                    6,
                    "Shortlists published",
                    "ShortlistPublished events per second, by category. Zero while needles are"
                    " found: the retriever lags.",
                    "cps",
                    (per_second("gazeloop_shortlists_published_total", "category"),),
                    link=CATEGORY,
                ),
                Chart(
                    7,
                    "Frames per subset",
                    "Number of frames that each subset's metrics are computed from. With few"
                    " frames, AP varies strongly. With several evaluators: of the one with most.",
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
            "Services and vehicles",
            (
                Chart(
                    1,
                    "Instances up",
                    "Number of instances whose /metrics responds, by component. Red: none.",
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
                    "Time since the broker acknowledged a vehicle's last frame. Yellow: over 30"
                    " minutes; red: over two hours, which is normal for a vehicle off duty.",
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
                    link=VEHICLE,
                ),
                Chart(
                    9,
                    "Alerts",
                    "What fires or is about to. The runbook of each is in docs/runbooks.",
                    "none",
                    (
                        Query(
                            "max by (alertname, alertstate, severity, service)"
                            f' (ALERTS{{{HERE}, alertname=~"Gazeloop.*"}})',
                            "{{alertname}}",
                        ),
                    ),
                    shape=Shape.TABLE,
                    width=24,
                ),
            ),
        ),
    ),
)

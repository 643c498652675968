"""For operators: throughput, lag, freshness, trouble, stages."""

from deploy.grafana.charts import Board, Chart, Query, Row
from deploy.grafana.queries import ENVIRONMENTS, HERE, OR_NONE, mean, per_second, quantile

PIPELINE = Board(
    uid="gazeloop-pipeline",
    title="Gazeloop: pipeline",
    about="Where events are, how long they take, and what is given up.",
    labels=ENVIRONMENTS,
    rows=(
        Row(
            "Throughput and lag",
            (
                Chart(
                    1,
                    "Events consumed",
                    "Records done with, by service and topic.",
                    "cps",
                    (
                        Query(
                            f"service:gazeloop_events_consumed:rate5m{{{HERE}}}",
                            "{{service}} {{topic}}",
                        ),
                    ),
                ),
                Chart(
                    2,
                    "Events published",
                    "Events that the broker acknowledged, by service and topic.",
                    "cps",
                    (
                        Query(
                            f"service:gazeloop_events_published:rate5m{{{HERE}}}",
                            "{{service}} {{topic}}",
                        ),
                    ),
                ),
                Chart(
                    3,
                    "Lag",
                    "Records that a service has not committed yet. It may be high in a bulk import;"
                    " it should not rise without one.",
                    "short",
                    (
                        Query(
                            f"service:gazeloop_consumer_lag_events:max{{{HERE}}}",
                            "{{service}} {{topic}}",
                        ),
                    ),
                    warn=1000,
                    bad=10000,
                ),
                Chart(
                    4,
                    "Lag by partition",
                    "Of each partition, by its owner. One line above the rest: a hot key.",
                    "short",
                    (
                        Query(
                            "max by (service, topic, partition)"
                            f" (gazeloop_partition_lag_events{{{HERE}}})",
                            "{{service}} {{topic}}/{{partition}}",
                        ),
                    ),
                ),
                Chart(
                    5,
                    "Time without progress",
                    "How long there has been lag without a commit. At the stall limit (300 s) the"
                    " service ends itself and takes the batch again.",
                    "s",
                    (
                        Query(
                            "max by (environment, service, instance)"
                            f" (gazeloop_seconds_since_progress{{{HERE}}})",
                            "{{service}} {{instance}}",
                        ),
                    ),
                    warn=60,
                    bad=120,
                ),
                Chart(
                    15,
                    "Partitions owned",
                    "Partitions that each instance has. None at all: it waits for the group.",
                    "short",
                    (
                        Query(
                            f"sum by (service, instance) (gazeloop_assigned_partitions{{{HERE}}})",
                            "{{service}} {{instance}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Freshness",
            (
                Chart(
                    6,
                    "Age of events when done with (p99)",
                    "From the broker's taking an event to its last effect. The objective is 5 s for"
                    " 99 in 100.",
                    "s",
                    (
                        Query(
                            f"service:gazeloop_event_age_seconds:p99_5m{{{HERE}}}",
                            "{{service}} {{topic}}",
                        ),
                    ),
                    warn=2,
                    bad=5,
                ),
                Chart(
                    14,
                    "Captured to embedded",
                    "From the shutter to durable vectors: the vehicle's upload included.",
                    "s",
                    (
                        quantile(0.5, "gazeloop_capture_to_embedded_seconds", ""),
                        quantile(0.99, "gazeloop_capture_to_embedded_seconds", ""),
                    ),
                ),
                Chart(
                    20,
                    "Ground truth to needle to shortlist",
                    "From the broker's taking ground truth until the needles in it are published,"
                    " and from a needle until its shortlist, where it got one at once. The goal"
                    " is 5 s for 99 in 100; a needle waits for its region to be embedded.",
                    "s",
                    (
                        quantile(0.5, "gazeloop_freshness_seconds", "stage"),
                        quantile(0.99, "gazeloop_freshness_seconds", "stage"),
                    ),
                    warn=2,
                    bad=5,
                ),
                Chart(
                    21,
                    "Late needles and shortlists",
                    "Share of them that took over 5 s, by window. The month's budget is 1%; the"
                    " fast alert is at 14.4%.",
                    "percentunit",
                    (
                        Query(
                            f"stage:gazeloop_late:ratio_rate5m{{{HERE}}} {OR_NONE}",
                            "{{stage}} 5 min",
                        ),
                        Query(
                            f"stage:gazeloop_late:ratio_rate1h{{{HERE}}} {OR_NONE}",
                            "{{stage}} 1 h",
                        ),
                    ),
                    warn=0.01,
                    bad=0.144,
                ),
                Chart(
                    16,
                    "Share of the budget in use",
                    "Share of events that took over 5 s, by window. The month's budget is 1%; the"
                    " fast alert is at 14.4%.",
                    "percentunit",
                    (
                        Query(
                            f"service:gazeloop_stale_events:ratio_rate5m{{{HERE}}}",
                            "{{service}} 5 min",
                        ),
                        Query(
                            f"service:gazeloop_stale_events:ratio_rate1h{{{HERE}}}",
                            "{{service}} 1 h",
                        ),
                    ),
                    warn=0.06,
                    bad=0.144,
                ),
            ),
        ),
        Row(
            "Trouble",
            (
                Chart(
                    7,
                    "Retries",
                    "Batches tried again in place, by the error's class. A store was away.",
                    "cps",
                    (per_second("gazeloop_retries_total", "service, reason"),),
                    bad=1,
                ),
                Chart(
                    8,
                    "Dead letters",
                    "Events given up, by reason; gazeloop dead-letters list shows them.",
                    "cps",
                    (per_second("gazeloop_dead_letters_total", "service, reason"),),
                    bad=0.01,
                ),
                Chart(
                    17,
                    "Records refused at the door",
                    "What ingest refuses, by reason and the way it came.",
                    "cps",
                    (per_second("gazeloop_rejected_records_total", "reason, way"),),
                ),
            ),
        ),
        Row(
            "Stages",
            (
                Chart(
                    12,
                    "Batch duration (p99)",
                    "From taking a batch to its last effect, retries included.",
                    "s",
                    (
                        Query(
                            f"service:gazeloop_batch_duration_seconds:p99_5m{{{HERE}}}",
                            "{{service}}",
                        ),
                    ),
                    warn=10,
                    bad=60,
                ),
                Chart(
                    13,
                    "Batch size",
                    "Records per batch, on average. At batch_size there is work enough.",
                    "short",
                    (mean("gazeloop_batch_events", "service", "{{service}}"),),
                ),
                Chart(
                    18,
                    "Embedder: decode and forward (p99)",
                    "Reading and decoding the images of a pass, and the pass itself.",
                    "s",
                    (
                        quantile(0.99, "gazeloop_decode_duration_seconds", ""),
                        quantile(0.99, "gazeloop_forward_duration_seconds", "model"),
                    ),
                ),
                Chart(
                    9,
                    "Stores (p99)",
                    "Answers of MongoDB, the vector store and the blob store, by operation.",
                    "s",
                    (
                        Query(
                            f"store:gazeloop_store_operation_duration_seconds:p99_5m{{{HERE}}}",
                            "{{store}} {{operation}}",
                        ),
                    ),
                    warn=0.5,
                    bad=1,
                ),
                Chart(
                    19,
                    "Store failures",
                    "Operations that failed, by store.",
                    "cps",
                    (per_second("gazeloop_store_failures_total", "store, operation"),),
                    bad=0.1,
                ),
                Chart(
                    10,
                    "HTTP answers",
                    "Ingest's answers by route and status. 503: the broker does not acknowledge.",
                    "reqps",
                    (per_second("gazeloop_http_requests_total", "route, status"),),
                ),
                Chart(
                    11,
                    "Free space",
                    "Share of the data folder's file system that is free, where parts are embedded;"
                    " volumes of a cluster are the kubelet's to report.",
                    "percentunit",
                    (
                        Query(
                            f"min by (instance) (gazeloop_data_free_bytes{{{HERE}}}"
                            f" / gazeloop_data_size_bytes{{{HERE}}}) {OR_NONE}",
                            "{{instance}}",
                        ),
                    ),
                    good_above=0.1,
                ),
            ),
        ),
    ),
)

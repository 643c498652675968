"""For operators: throughput, lag, freshness, trouble, stages."""

from deploy.grafana.charts import Board, Chart, Query, Row, Shape
from deploy.grafana.queries import ENVIRONMENTS, HERE, mean, or_none, per_second, quantile

PIPELINE = Board(
    uid="gazeloop-pipeline",
    title="Gazeloop: pipeline",
    about="Throughput, lag, latency and failures of every stage.",
    labels=ENVIRONMENTS,
    rows=(
        Row(
            "Throughput and lag",
            (
                Chart(
                    1,
                    "Events consumed",
                    "Records processed per second, by service and topic.",
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
                    "Events acknowledged by the broker per second, by service and topic.",
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
                    "Records that a service has not committed yet. It rises during a bulk import;"
                    " at other times it should not rise.",
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
                    "Lag of each partition, by its owner. One partition far above the others: a"
                    " hot key.",
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
                    "Time with lag but without a commit or other progress. At the stall limit"
                    " (300 s) the service exits, and its successor processes the batch again.",
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
                    "Number of partitions of each instance. 0: it waits for the consumer group,"
                    " or there are more instances than partitions.",
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
                    "Age of processed events (p99)",
                    "Time from the broker's receipt of an event to the end of its batch."
                    " Objective: 99% within 5 s.",
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
                    "Time from capture to the durable storage of the vectors, including the"
                    " vehicle's upload.",
                    "s",
                    (
                        quantile(0.5, "gazeloop_capture_to_embedded_seconds", ""),
                        quantile(0.99, "gazeloop_capture_to_embedded_seconds", ""),
                    ),
                ),
                Chart(
                    20,
                    "Ground truth to needle to shortlist",
                    "Time from the broker's receipt of ground truth to the publication of its"
                    " needles, and from a needle (or its region's vector, if that is later) to its"
                    " shortlist. Needles that wait for candidates do not count. Objective: 99%"
                    " within 5 s.",
                    "s",
                    (
                        quantile(0.5, "gazeloop_freshness_seconds", "stage"),
                        quantile(0.99, "gazeloop_freshness_seconds", "stage"),
                    ),
                    warn=2,
                    bad=5,
                ),
                Chart(
                    22,
                    "How long needles and shortlists take",
                    "The distribution behind the quantiles: how many took how long.",
                    "s",
                    (
                        Query(
                            "sum by (le) (increase(gazeloop_freshness_seconds_bucket"
                            f"{{{HERE}}}[$__rate_interval]))",
                            "{{le}}",
                        ),
                    ),
                    shape=Shape.HEATMAP,
                ),
                Chart(
                    21,
                    "Late needles and shortlists",
                    "Share of needles and shortlists that took over 5 s, by window. The month's"
                    " error budget is 1%; the fast alert fires at 14.4%.",
                    "percentunit",
                    (
                        Query(
                            f"stage:gazeloop_late:ratio_rate5m{{{HERE}}} {or_none('stage')}",
                            "{{stage}} 5 min",
                        ),
                        Query(
                            f"stage:gazeloop_late:ratio_rate1h{{{HERE}}} {or_none('stage')}",
                            "{{stage}} 1 h",
                        ),
                    ),
                    warn=0.01,
                    bad=0.144,
                ),
                Chart(
                    16,
                    "Late events",
                    "Share of events that took over 5 s, by window. The month's error budget is"
                    " 1%; the fast alert fires at 14.4%.",
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
            "Failures",
            (
                Chart(
                    7,
                    "Retries",
                    "Retries of batches, by the error's class. Usual cause: a store or the broker"
                    " was unavailable.",
                    "cps",
                    (per_second("gazeloop_retries_total", "service, reason"),),
                    bad=1,
                ),
                Chart(
                    8,
                    "Dead letters",
                    "Events that could not be processed, by reason; `gazeloop dead-letters list`"
                    " shows them.",
                    "cps",
                    (per_second("gazeloop_dead_letters_total", "service, reason"),),
                    bad=0.01,
                ),
                Chart(
                    17,
                    "Records refused by ingest",
                    "Records that ingest refused, by reason and way of ingest.",
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
                    "Duration of a batch, including retries.",
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
                    "Average number of records per batch. At batch_size, the service is saturated.",
                    "short",
                    (mean("gazeloop_batch_events", "service", "{{service}}"),),
                ),
                Chart(
                    18,
                    "Embedder: decode and forward (p99)",
                    "Time to read and decode the images of a forward pass, and duration of the"
                    " pass.",
                    "s",
                    (
                        quantile(0.99, "gazeloop_decode_duration_seconds", "", name="decode"),
                        quantile(
                            0.99, "gazeloop_forward_duration_seconds", "model", name="forward"
                        ),
                    ),
                ),
                Chart(
                    9,
                    "Stores (p99)",
                    "Duration of operations of MongoDB, the vector store and the blob store.",
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
                    "Failed operations, by store.",
                    "cps",
                    (per_second("gazeloop_store_failures_total", "store, operation"),),
                    bad=0.1,
                ),
                Chart(
                    10,
                    "HTTP responses",
                    "Responses of ingest, by route and status. 503: the broker does not"
                    " acknowledge.",
                    "reqps",
                    (per_second("gazeloop_http_requests_total", "route, status"),),
                ),
                Chart(
                    11,
                    "Free space",
                    "Free share of the data folder's file system, with embedded parts. In a"
                    " cluster, the kubelet reports the volumes.",
                    "percentunit",
                    (
                        Query(
                            f"min by (instance) (gazeloop_data_free_bytes{{{HERE}}}"
                            f" / gazeloop_data_size_bytes{{{HERE}}})",
                            "{{instance}}",
                        ),
                    ),
                    good_above=0.1,
                ),
                Chart(
                    23,
                    "Retention",
                    "Records per hour that were deleted because they were older than the settings"
                    " let them be kept: erased frames, decisions, figures.",
                    "short",
                    (
                        Query(
                            "sum by (kind)"
                            f" (increase(gazeloop_retention_deleted_total{{{HERE}}}[1h]))"
                            f" {or_none('kind')}",
                            "{{kind}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)

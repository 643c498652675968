"""The metrics that Gazeloop exports, declared once: here, or in `detector_metrics`.

Label values are bounded: a service, an error class, a subset; never an id. Categories, detectors
and vehicles come from the data, so they pass through `bounded_labels`.
"""

from prometheus_client import Counter, Gauge, Histogram, Summary, disable_created_metrics

# They add a series to each counter and histogram that no dashboard or alert reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client does not type it

_BATCH_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_AGE_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 10800)
_DAYS_SECONDS = (1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400, 604800, 2592000)
_STORE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

# End to end: from one stage's event to the event that follows from it

FRESHNESS_SECONDS = Histogram(
    "gazeloop_freshness_seconds",
    "From the broker's receipt of an event to that of its result: ground_truth_to_needle, if the"
    " needle did not wait for predictions, or needle_to_shortlist, if the needle got one without"
    " waiting for candidates, from the later of the needle and its region's vector.",
    ["stage"],
    buckets=_AGE_SECONDS,
)
SHORTLIST_TO_VERDICT_SECONDS = Histogram(
    "gazeloop_shortlist_to_verdict_seconds",
    "Time from a frame's listing on a shortlist to its corrected ground truth.",
    buckets=_DAYS_SECONDS,
)

# The runtime: the same for every service

EVENTS_CONSUMED = Counter(
    "gazeloop_events_consumed_total",
    "Records consumed and processed, by topic.",
    ["service", "topic"],
)
EVENTS_DUPLICATED = Counter(
    "gazeloop_events_duplicated_total",
    "Records dropped because the same batch has their event already.",
    ["service"],
)
EVENTS_PUBLISHED = Counter(
    "gazeloop_events_published_total",
    "Events acknowledged by the broker, by topic.",
    ["service", "topic"],
)
BATCH_EVENTS = Histogram(
    "gazeloop_batch_events",
    "Records per batch.",
    ["service"],
    buckets=_BATCH_SIZES,
)
BATCH_SECONDS = Histogram(
    "gazeloop_batch_duration_seconds",
    "Duration of a batch, including retries.",
    ["service"],
    buckets=_BATCH_SECONDS,
)
EVENT_AGE_SECONDS = Histogram(
    "gazeloop_event_age_seconds",
    "Time from the broker's receipt of a record to the end of its batch, by topic.",
    ["service", "topic"],
    buckets=_AGE_SECONDS,
)
RETRIES = Counter(
    "gazeloop_retries_total",
    "Retries of batches, by the error's class.",
    ["service", "reason"],
)
DEAD_LETTERS = Counter(
    "gazeloop_dead_letters_total",
    "Events that could not be processed and were published to gaze.dead-letters, by reason.",
    ["service", "reason"],
)
UNREADABLE_DOCUMENTS = Counter(
    "gazeloop_unreadable_documents_total",
    "Stored documents that could not be read and were skipped, by MongoDB collection.",
    ["collection"],
)
BACKGROUND_FAILURES = Counter(
    "gazeloop_background_failures_total",
    "Unexpected errors of background jobs, which run again later; by job.",
    ["work"],
)
BACKGROUND_SECONDS = Summary(
    "gazeloop_background_seconds",
    "How long background jobs take, and how often they have run; by job.",
    ["work"],
)
CONSUMER_LAG = Gauge(
    "gazeloop_consumer_lag_events",
    "Lag of the service on a topic, in records not committed yet.",
    ["service", "topic"],
)
PARTITION_LAG = Gauge(
    "gazeloop_partition_lag_events",
    "Lag of this instance on a partition it owns, in records not committed yet.",
    ["service", "topic", "partition"],
)
SECONDS_SINCE_PROGRESS = Gauge(
    "gazeloop_seconds_since_progress",
    "Time with lag but without a commit or other progress; 0 without lag.",
    ["service"],
)
ASSIGNED_PARTITIONS = Gauge(
    "gazeloop_assigned_partitions",
    "Number of partitions that this instance owns.",
    ["service"],
)
STORE_SECONDS = Histogram(
    "gazeloop_store_operation_duration_seconds",
    "Duration of store operations (mongodb, vectors, blobs), including failed ones.",
    ["store", "operation"],
    buckets=_STORE_SECONDS,
)
STORE_FAILURES = Counter(
    "gazeloop_store_failures_total",
    "Failed store operations.",
    ["store", "operation"],
)
DATA_FREE_BYTES = Gauge(
    "gazeloop_data_free_bytes",
    "Free space of the data folder's file system; only with embedded parts.",
)
DATA_SIZE_BYTES = Gauge(
    "gazeloop_data_size_bytes",
    "Size of the data folder's file system; only with embedded parts.",
)

# Retention and erasure

RETENTION_DELETED = Counter(
    "gazeloop_retention_deleted_total",
    "Records that were deleted because they were older than the settings let them be kept, by"
    " kind: unlisted_frames, images, vectors, verdicts, figures, imports.",
    ["kind"],
)
FRAMES_ERASED = Counter(
    "gazeloop_frames_erased_total",
    "Frames that an erasure has swept from the stores.",
)
EVENTS_OF_ERASED_FRAMES = Counter(
    "gazeloop_events_of_erased_frames_total",
    "Late or repeated events that were dropped because their frame is erased.",
    ["service"],
)

# ingest

VEHICLE_LAST_FRAME = Gauge(
    "gazeloop_vehicle_last_frame_timestamp_seconds",
    "Time at which the broker acknowledged the vehicle's last frame.",
    ["vehicle"],
)
FRAMES_INGESTED = Counter(
    "gazeloop_ingested_records_total",
    "Records accepted and acknowledged by the broker, by topic and by way of ingest.",
    ["topic", "way"],
)
RECORDS_REJECTED = Counter(
    "gazeloop_rejected_records_total",
    "Records refused, by reason and by way of ingest.",
    ["reason", "way"],
)
DETECTIONS_LEFT_OUT = Counter(
    "gazeloop_detections_left_out_total",
    "Detections dropped because of the limit per frame, by way of ingest.",
    ["way"],
)
HTTP_REQUESTS = Counter(
    "gazeloop_http_requests_total",
    "HTTP responses, by route and status.",
    ["route", "status"],
)
HTTP_SECONDS = Histogram(
    "gazeloop_http_request_duration_seconds",
    "Duration of HTTP requests, including the broker's acknowledgement.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

# embedder

FRAMES_EMBEDDED = Counter(
    "gazeloop_embedded_frames_total", "Frames whose vectors are stored durably.", ["model"]
)
REGIONS_EMBEDDED = Counter(
    "gazeloop_embedded_regions_total", "Regions whose vectors are stored durably.", ["model"]
)
REGIONS_WITHOUT_VECTOR = Counter(
    "gazeloop_regions_without_vector_total",
    "Detections that came without a usable vector of the model.",
    ["model", "reason"],
)
CAPTURE_TO_EMBEDDED_SECONDS = Histogram(
    "gazeloop_capture_to_embedded_seconds",
    "Time from a frame's capture to the durable storage of its vectors.",
    buckets=_DAYS_SECONDS,
)
DECODE_SECONDS = Histogram(
    "gazeloop_decode_duration_seconds",
    "Time to read and decode the images of one forward pass.",
    buckets=_BATCH_SECONDS,
)
FORWARD_SECONDS = Histogram(
    "gazeloop_forward_duration_seconds",
    "Duration of one forward pass of the backbone.",
    ["model"],
    buckets=_BATCH_SECONDS,
)

# fp_miner

FRAMES_MATCHED = Counter(
    "gazeloop_matched_frames_total",
    "Published matches of one frame and category.",
    ["split"],
)
NEEDLES_FOUND = Counter(
    "gazeloop_needles_found_total",
    "NeedleFound events published.",
    ["category", "error_type"],
)
PAIRS_NOT_COUNTED = Counter(
    "gazeloop_pairs_not_counted_total",
    "Frames with predictions and ground truth that do not count in reference or mAP, by reason:"
    " partial_ground_truth, partial_predictions or copy.",
    ["why"],
)
NEEDLES_RETRACTED = Counter(
    "gazeloop_needles_retracted_total", "NeedleRetracted events published.", ["category"]
)
UNKNOWN_CATEGORIES = Gauge(
    "gazeloop_unknown_categories",
    "Categories that a detector predicts, that no annotation has, and that are not mapped.",
    ["detector"],
)

# retriever

SHORTLISTS_PUBLISHED = Counter(
    "gazeloop_shortlists_published_total", "ShortlistPublished events.", ["category"]
)
SHORTLIST_FRAMES = Histogram(
    "gazeloop_shortlist_frames",
    "Candidates per published shortlist.",
    buckets=(0, 1, 2, 4, 6, 8, 10, 20, 50, 100),
)
SEARCH_SECONDS = Histogram(
    "gazeloop_search_duration_seconds",
    "Duration of closing an epoch, with all searches of the vector store.",
    buckets=_BATCH_SECONDS,
)

SHORTLIST_BUDGET = Gauge(
    "gazeloop_shortlist_budget_frames",
    "Size of each budget in frames: haystack for all, or day, vehicle, family for one day.",
    ["detector", "budget"],
)
SHORTLIST_SPENT = Gauge(
    "gazeloop_shortlist_spent_frames",
    "Frames listed per budget; of day, vehicle and family the fullest one of the latest day.",
    ["detector", "budget"],
)
SHORTLIST_HELD_BACK = Gauge(
    "gazeloop_shortlist_held_back_frames",
    "Frames that are not listed because the budget is spent.",
    ["detector", "budget"],
)

# Annotation

REVIEW_NEEDLES = Gauge(
    "gazeloop_review_needles",
    "Active needles with a shortlist, by state of review: open, started, done or extended.",
    ["status"],
)
REVIEW_OLDEST_SECONDS = Gauge(
    "gazeloop_review_oldest_wait_seconds",
    "Age of the oldest shortlist without a review; 0 if there is none.",
)
HELD_CORRECTIONS = Gauge(
    "gazeloop_held_corrections",
    "Corrections held until a question about them is answered, by reason.",
    ["reason"],
)
LABEL_STUDIO_TASKS = Gauge(
    "gazeloop_label_studio_tasks",
    "Label Studio tasks, by state; `waiting` ones are not created yet.",
    ["status"],
)
WEBHOOK_DELIVERIES = Counter(
    "gazeloop_webhook_deliveries_total",
    "Attempts to send a shortlist to a receiver, by outcome: delivered, failed or given_up.",
    ["receiver", "outcome"],
)

# evaluator

REBUILD_SECONDS = Gauge(
    "gazeloop_evaluator_rebuild_seconds",
    "Duration of the evaluator's last recovery from the stores.",
)

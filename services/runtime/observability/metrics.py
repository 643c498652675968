"""Every metric that Gazeloop exports, declared here once.

Label values are bounded: a service, an error class, a subset; never an id. Categories, detectors
and vehicles come from the data, so they pass through `CATEGORIES`, `DETECTORS` and `VEHICLES`,
which stop a runaway detector from growing the registry without end.
"""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# One more series for each counter and histogram, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client does not type it

_BATCH_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_AGE_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 10800)
_DAYS_SECONDS = (1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400, 604800, 2592000)
_STORE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class BoundedLabel:
    """The first `limit` values of a label keep their name; all others share `other`."""

    def __init__(self, limit: int, other: str = "other") -> None:
        self._limit = limit
        self._other = other
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= self._limit:
                return self._other
            self._seen.add(value)
        return value


CATEGORIES = BoundedLabel(2000)  # LVIS, the largest detection benchmark, has 1203
DETECTORS = BoundedLabel(50)
VEHICLES = BoundedLabel(500)

# From end to end: from one stage's event to what another makes of it

FRESHNESS_SECONDS = Histogram(
    "gazeloop_freshness_seconds",
    "From the broker's taking an event to its taking what came of it: ground_truth_to_needle, where"
    " the needle did not wait for predictions, or needle_to_shortlist, where it got one at once,"
    " from the needle or its region's vector, whichever came later.",
    ["stage"],
    buckets=_AGE_SECONDS,
)
SHORTLIST_TO_VERDICT_SECONDS = Histogram(
    "gazeloop_shortlist_to_verdict_seconds",
    "From a frame's coming on a shortlist until its corrected ground truth is known.",
    buckets=_DAYS_SECONDS,
)

# The runtime: the same for every consuming service.

EVENTS_CONSUMED = Counter(
    "gazeloop_events_consumed_total",
    "Records taken from the broker and done with, by topic.",
    ["service", "topic"],
)
EVENTS_DUPLICATED = Counter(
    "gazeloop_events_duplicated_total",
    "Records dropped because their event was already in the same batch.",
    ["service"],
)
EVENTS_PUBLISHED = Counter(
    "gazeloop_events_published_total",
    "Events that the broker has acknowledged, by topic.",
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
    "From taking a batch to its last effect, retries included.",
    ["service"],
    buckets=_BATCH_SECONDS,
)
EVENT_AGE_SECONDS = Histogram(
    "gazeloop_event_age_seconds",
    "From the broker's taking a record to the last effect of its batch, by topic.",
    ["service", "topic"],
    buckets=_AGE_SECONDS,
)
RETRIES = Counter(
    "gazeloop_retries_total",
    "Batches tried again in place, by the error's class.",
    ["service", "reason"],
)
DEAD_LETTERS = Counter(
    "gazeloop_dead_letters_total",
    "Events given up and published to gaze.dead-letters, by reason.",
    ["service", "reason"],
)
UNREADABLE_DOCUMENTS = Counter(
    "gazeloop_unreadable_documents_total",
    "Stored documents that could not be read and were left out, by MongoDB collection.",
    ["collection"],
)
BACKGROUND_FAILURES = Counter(
    "gazeloop_background_failures_total",
    "Background work that raised what nobody foresaw, and is done again later; by its name.",
    ["work"],
)
CONSUMER_LAG = Gauge(
    "gazeloop_consumer_lag_events",
    "Records of a topic that the service has not committed yet.",
    ["service", "topic"],
)
PARTITION_LAG = Gauge(
    "gazeloop_partition_lag_events",
    "Records of a partition that its owner, this instance, has not committed yet.",
    ["service", "topic", "partition"],
)
SECONDS_SINCE_PROGRESS = Gauge(
    "gazeloop_seconds_since_progress",
    "How long there has been lag without a commit; 0 where there is no lag.",
    ["service"],
)
ASSIGNED_PARTITIONS = Gauge(
    "gazeloop_assigned_partitions",
    "Partitions that this instance of the service owns.",
    ["service"],
)
STORE_SECONDS = Histogram(
    "gazeloop_store_operation_duration_seconds",
    "Answers of a store (mongodb, vectors, blobs), failures included, by operation.",
    ["store", "operation"],
    buckets=_STORE_SECONDS,
)
STORE_FAILURES = Counter(
    "gazeloop_store_failures_total",
    "Operations of a store that failed, by operation.",
    ["store", "operation"],
)
DATA_FREE_BYTES = Gauge(
    "gazeloop_data_free_bytes",
    "Free space of the file system that holds the data folder; only where parts are embedded.",
)
DATA_SIZE_BYTES = Gauge(
    "gazeloop_data_size_bytes",
    "Size of the file system that holds the data folder; only where parts are embedded.",
)

# ingest

VEHICLE_LAST_FRAME = Gauge(
    "gazeloop_vehicle_last_frame_timestamp_seconds",
    "When the last frame of a vehicle was acknowledged by the broker.",
    ["vehicle"],
)
FRAMES_INGESTED = Counter(
    "gazeloop_ingested_records_total",
    "Records accepted and acknowledged, by the event's topic and the way they came.",
    ["topic", "way"],
)
RECORDS_REJECTED = Counter(
    "gazeloop_rejected_records_total",
    "Records refused, by reason and the way they came.",
    ["reason", "way"],
)
DETECTIONS_LEFT_OUT = Counter(
    "gazeloop_detections_left_out_total",
    "Detections beyond the limit per frame that were left out, by the way they came.",
    ["way"],
)
HTTP_REQUESTS = Counter(
    "gazeloop_http_requests_total",
    "Answers of the HTTP interface, by route and status.",
    ["route", "status"],
)
HTTP_SECONDS = Histogram(
    "gazeloop_http_request_duration_seconds",
    "From a request's arrival to its answer, the broker's acknowledgement included.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

HELD_CORRECTIONS = Gauge(
    "gazeloop_held_corrections",
    "Corrections that wait for an answer, by reason.",
    ["reason"],
)
LABEL_STUDIO_TASKS = Gauge(
    "gazeloop_label_studio_tasks",
    "Tasks in Label Studio by what has become of them; `waiting` are not there yet.",
    ["status"],
)

# embedder

FRAMES_EMBEDDED = Counter(
    "gazeloop_embedded_frames_total", "Frames whose vectors are durable.", ["model"]
)
REGIONS_EMBEDDED = Counter(
    "gazeloop_embedded_regions_total", "Regions whose vectors are durable.", ["model"]
)
CAPTURE_TO_EMBEDDED_SECONDS = Histogram(
    "gazeloop_capture_to_embedded_seconds",
    "From a frame's capture by the vehicle until its vectors are durable.",
    buckets=_DAYS_SECONDS,
)
DECODE_SECONDS = Histogram(
    "gazeloop_decode_duration_seconds",
    "Reading and decoding the images of one pass.",
    buckets=_BATCH_SECONDS,
)
FORWARD_SECONDS = Histogram(
    "gazeloop_forward_duration_seconds",
    "One pass through the backbone.",
    ["model"],
    buckets=_BATCH_SECONDS,
)

# fp_miner

FRAMES_MATCHED = Counter(
    "gazeloop_matched_frames_total",
    "Matches of one frame and category that were published.",
    ["split"],
)
NEEDLES_FOUND = Counter(
    "gazeloop_needles_found_total",
    "NeedleFound events published.",
    ["category", "error_type"],
)
PAIRS_NOT_COUNTED = Counter(
    "gazeloop_pairs_not_counted_total",
    "Frames with predictions and ground truth that were left out of reference and mAP, by why:"
    " partial_ground_truth, partial_predictions or copy.",
    ["why"],
)
NEEDLES_RETRACTED = Counter(
    "gazeloop_needles_retracted_total", "NeedleRetracted events published.", ["category"]
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
    "Answering one needle from the vector store.",
    buckets=_BATCH_SECONDS,
)

REVIEW_NEEDLES = Gauge(
    "gazeloop_review_needles",
    "Active needles by how far their review is: open, started, done or extended since.",
    ["status"],
)
REVIEW_OLDEST_SECONDS = Gauge(
    "gazeloop_review_oldest_wait_seconds",
    "How long the needle that has waited longest has had a shortlist and no review; 0 where none.",
)
SHORTLIST_BUDGET = Gauge(
    "gazeloop_shortlist_budget_frames",
    "Most frames that may be listed, by budget: haystack, or of one day: day, vehicle, family.",
    ["detector", "budget"],
)
SHORTLIST_SPENT = Gauge(
    "gazeloop_shortlist_spent_frames",
    "Frames that are listed; by day, vehicle and family: the most of one on the latest day.",
    ["detector", "budget"],
)
SHORTLIST_HELD_BACK = Gauge(
    "gazeloop_shortlist_held_back_frames",
    "Frames that would be listed, were the budget not spent.",
    ["detector", "budget"],
)

WEBHOOK_DELIVERIES = Counter(
    "gazeloop_webhook_deliveries_total",
    "Tries to send a shortlist to a receiver, by outcome: delivered, failed or given_up.",
    ["receiver", "outcome"],
)

# evaluator; subset is one of all, R, H, S and H-S

MAP = Gauge(
    "gazeloop_map",
    "Mean average precision over IoU .50 to .95, as COCO reckons it.",
    ["detector", "subset"],
)
MAP_AP50 = Gauge("gazeloop_map_ap50", "Mean average precision at IoU .50.", ["detector", "subset"])
MAP_AP75 = Gauge("gazeloop_map_ap75", "Mean average precision at IoU .75.", ["detector", "subset"])
CATEGORY_AP = Gauge(
    "gazeloop_category_ap",
    "Average precision of one category over IoU .50 to .95.",
    ["detector", "subset", "category"],
)
EVALUATED_FRAMES = Gauge(
    "gazeloop_evaluated_frames",
    "Frames behind the figures of a subset.",
    ["detector", "subset"],
)
EVALUATED_DETECTIONS = Gauge(
    "gazeloop_evaluated_detections",
    "Detections behind the figures of a subset.",
    ["detector", "subset"],
)
EVALUATED_GROUND_TRUTHS = Gauge(
    "gazeloop_evaluated_ground_truths",
    "Annotations that count behind the figures of a subset.",
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
FALSE_POSITIVES = Gauge(
    "gazeloop_false_positives",
    "False positives at the operating score and IoU .50, by TIDE's error type.",
    ["detector", "subset", "error_type"],
)
ERROR_COST = Gauge(
    "gazeloop_error_cost",
    "AP at IoU .50 that is lost to a kind of error: TIDE's dAP, over all frames.",
    ["detector", "error_type"],
)
ORDER_HOLDS = Gauge(
    "gazeloop_order_holds",
    "1 where mAP(H-S) > mAP(H) > mAP(S), else 0; absent where one is not defined.",
    ["detector"],
)
MAP_WINDOW = Gauge(
    "gazeloop_map_window",
    "Mean average precision of the frames captured in the last 1h, 24h or 7d of event time.",
    ["detector", "subset", "window"],
)
MAP_BOUND = Gauge(
    "gazeloop_map_bound",
    "Where mAP lies with 95% confidence, by bound: low or high.",
    ["detector", "subset", "bound"],
)
MAP_DIFFERENCE = Gauge(
    "gazeloop_map_difference",
    "By how much a detector's mAP is above another's on the same frames: value, low, high (95%).",
    ["detector", "other", "bound"],
)
VEHICLES_DRIFTING = Gauge(
    "gazeloop_vehicles_drifting",
    "Vehicles whose frames are unlike the fleet's, by what is: scores, classes or map.",
    ["detector", "measure"],
)
VEHICLE_DRIFT = Gauge(
    "gazeloop_vehicle_drift",
    "How far a drifting vehicle is from the fleet; at most 50 vehicles, and none that does not.",
    ["detector", "measure", "vehicle"],
)
REBUILD_SECONDS = Gauge(
    "gazeloop_evaluator_rebuild_seconds",
    "How long the evaluator last took to read the durable record again.",
)

# What shortlists are worth; bound is value, low or high (95%)

SHORTLIST_YIELD = Gauge(
    "gazeloop_shortlist_yield",
    "Share of false positives among shortlisted regions with ground truth, and in draws of as many"
    " from the same categories, drives and hours: shortlist, random or lowest_score.",
    ["detector", "draw", "bound"],
)
SHORTLIST_LIFT = Gauge(
    "gazeloop_shortlist_lift",
    "How many times the yield of shortlists is that of a draw: random or lowest_score.",
    ["detector", "draw", "bound"],
)
SHORTLIST_GAIN = Gauge(
    "gazeloop_shortlist_gain",
    "(yield - random) / (1 - random): 0 is the random draw, 1 is perfect.",
    ["detector", "bound"],
)
SHORTLIST_VERDICTS = Gauge(
    "gazeloop_shortlist_verdicts",
    "Shortlisted regions with ground truth, by what it says: confirmed or rejected.",
    ["detector", "verdict"],
)
SHORTLIST_CALIBRATION_ERROR = Gauge(
    "gazeloop_shortlist_calibration_error",
    "Expected calibration error of learnt evidence on shortlisted regions with ground truth.",
    ["detector", "category"],
)
SHORTLIST_CALIBRATION_COUNT = Gauge(
    "gazeloop_shortlist_calibration_verdicts",
    "Shortlisted regions behind the calibration error.",
    ["detector", "category"],
)

# Families of needles; state is open or resolved

FAMILIES = Gauge("gazeloop_families", "Families of needles, by state.", ["detector", "state"])
FAMILY_NEEDLES = Gauge(
    "gazeloop_family_needles",
    "Needles of a family; of the 50 largest, and none of any other.",
    ["detector", "category", "error_type", "family", "state"],
)

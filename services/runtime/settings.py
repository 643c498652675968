"""Every setting, its unit and its default. Read once by the command line, then handed down."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.contracts.topics import BY_NAME
from services.domain.detection.operating_scores import OperatingScores
from services.domain.splits import SplitRule

Share = Annotated[float, Field(gt=0, lt=1)]
Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Days = Annotated[float, Field(gt=0)]
DaysOrForever = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
PREFIX = "GAZELOOP_"


class Settings(BaseSettings):
    """All of Gazeloop's settings; docs/settings.md is generated from the descriptions."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may be a secret, and tracebacks show it
    )

    # Where the parts are. Empty: the embedded part, in the data folder.
    data: Path = Field(Path("gazeloop-data"), description="Data folder of the embedded parts.")
    kafka: str = Field("", description="Bootstrap servers `host:port,…`; empty: embedded.")
    kafka_tls: bool = Field(False, description="Whether connections to Kafka use TLS.")
    kafka_ca: Path | None = Field(
        None, description="CA certificate file for Kafka; empty: the system's."
    )
    kafka_user: str = Field("", description="User for SCRAM-SHA-512; empty: no authentication.")
    kafka_password: SecretStr = Field(SecretStr(""), description="Kafka user's password.")
    mongodb: str = Field("", description="MongoDB URL, without password; empty: embedded mongod.")
    mongodb_database: str = Field("gazeloop", description="MongoDB database.")
    mongodb_user: str = Field("", description="MongoDB user; empty: no authentication.")
    mongodb_password: SecretStr = Field(SecretStr(""), description="MongoDB user's password.")
    mongodb_tls: bool = Field(False, description="Whether connections to MongoDB use TLS.")
    mongodb_ca: Path | None = Field(None, description="CA certificate file for MongoDB.")
    qdrant: str = Field("", description="Qdrant URL; empty: Qdrant Edge in this process.")
    qdrant_api_key: SecretStr = Field(SecretStr(""), description="Qdrant API key.")
    qdrant_ca: Path | None = Field(None, description="CA certificate file for Qdrant.")
    qdrant_grpc_port: int = Field(
        0, ge=0, le=65535, description="Port of Qdrant's gRPC, usually 6334; 0: points go by REST."
    )
    qdrant_tenant: Literal["", "detector", "category"] = Field(
        "",
        description="Field by which points of new collections lie together on Qdrant's disks"
        " (`is_tenant`), as searches ask for one value of it; empty: none.",
    )
    qdrant_shards: int = Field(
        0, ge=0, description="Shards of new collections in Qdrant; 0: one per node."
    )
    qdrant_replicas: Count = Field(1, description="Replicas of each shard of new collections.")
    blobs: str = Field("", description="fsspec URL for images; empty: `blobs` in the data folder.")

    # HTTP
    host: str = Field("127.0.0.1", description="Address that HTTP servers listen on.")
    http_port: int = Field(
        8000,
        ge=0,
        le=65535,
        description="Port of ingest and of the review page; 0: any free one.",
    )
    metrics_port: int = Field(
        9400, ge=0, le=65535, description="Port of `/metrics` and `/healthz`; 0: any free one."
    )
    tls_certificate: Path | None = Field(
        None, description="Ingest's and the review page's certificate (PEM); empty: plain HTTP."
    )
    tls_key: Path | None = Field(None, description="The certificate's private key (PEM).")
    allowed_hosts: str = Field(
        "",
        description="Accepted `Host` names, `name,…`, beside loopback, the server's address and"
        " those of GAZELOOP_PUBLIC_URL and GAZELOOP_REVIEW_URL.",
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies whose `X-Forwarded-*` headers are trusted, `address,network/bits,…`.",
    )
    max_body_bytes: Count = Field(33_554_432, description="Largest HTTP request body, in bytes.")
    rate_limit: str = Field("600/minute", description="Rate limit per token, in `limits` notation.")

    max_detections_per_frame: Count = Field(
        10_000,
        description="Maximum detections per detector and frame; the highest scores are kept.",
    )

    # Images
    max_image_bytes: Count = Field(26_214_400, description="Largest image file, in bytes.")
    max_image_pixels: Count = Field(50_000_000, description="Largest image, in pixels.")

    # Kafka and delivery
    topic_partitions: Count = Field(8, description="Number of partitions of new topics.")
    topic_partitions_of: str = Field(
        "", description="Numbers of partitions of single topics, `gaze.matches=24,…`."
    )
    topic_retention_days: Days = Field(
        7.0, description="Retention of topics that are not compacted, in days."
    )
    topic_retention_days_of: str = Field(
        "", description="Retention of single topics, `gaze.dead-letters=90,…`, in days."
    )
    retain_unlisted_days: DaysOrForever = Field(
        0.0,
        description="How long haystack frames without ground truth that no shortlist had are kept,"
        " with image, vectors and predictions, in days; 0: for good. docs/retention.md.",
    )
    retain_until_archived: bool = Field(
        default=False,
        description="Whether such frames are kept until `gazeloop retention archive` has them.",
    )
    retain_images_days: DaysOrForever = Field(
        0.0,
        description="How long images of annotated frames without active needles are kept, in days;"
        " 0: for good.",
    )
    retain_vectors_days: DaysOrForever = Field(
        0.0,
        description="How long vectors of embedding models that are not live any more are kept, in"
        " days; 0: for good.",
    )
    retain_imports_days: DaysOrForever = Field(
        0.0,
        description="How long what an import published is noted, so that it can be undone, in days;"
        " 0: for good.",
    )
    retain_verdicts_days: DaysOrForever = Field(
        0.0,
        description="How long decisions about retracted needles are kept, in days; 0: for good.",
    )
    retain_figures_days: DaysOrForever = Field(
        0.0, description="How long figures over time are kept, in days; 0: for good."
    )
    retention_per_minute: Count = Field(
        600,
        description="Maximum number of old frames, of images, and of frames with vectors, deleted"
        " per minute.",
    )
    event_version: int = Field(
        1,
        ge=1,
        le=2,
        description="Version of written events; both versions are read. Set 2 once no process"
        " of version 0.1 is left.",
    )
    topic_replication: Count = Field(1, description="Number of replicas of new topics.")
    batch_size: Count = Field(512, description="Maximum number of events per batch.")
    batch_bytes: Count = Field(
        16_777_216,
        description="Maximum bytes per batch.",
    )
    batch_wait_s: Seconds = Field(
        0.1, description="Maximum wait until a batch is full, in seconds."
    )
    delivery_timeout_s: Seconds = Field(
        30.0, description="Maximum wait for the broker's acknowledgement, in seconds."
    )
    retry_wait_max_s: Seconds = Field(
        30.0, description="Maximum back-off between retries, in seconds."
    )
    drain_deadline_s: Seconds = Field(
        20.0, description="Time to finish the current batch at SIGTERM, in seconds."
    )
    metadata_max_age_s: Seconds = Field(
        30.0, description="Interval at which services look for new partitions, in seconds."
    )
    start_wait_s: Seconds = Field(
        300.0, description="How long a starting service waits for broker and stores, in seconds."
    )
    session_timeout_s: Seconds = Field(
        10.0,
        description="Time without a heartbeat until a replica loses its partitions, in seconds.",
    )
    stall_limit_s: Seconds = Field(
        300.0, description="Time with lag but without progress until a service exits, in seconds."
    )
    dead_letter_run_limit: Count = Field(
        1000, description="Number of consecutive dead letters that stops a service."
    )
    dead_letter_ratio_limit: Share = Field(
        0.9, description="Share of dead letters in the last 1000 events that stops a service."
    )

    # The split
    reference_share: Share = Field(0.1, description="Share of drives in the reference split.")
    split_seed: int = Field(0, description="Seed of the split's hash.")
    split_by: Literal["drive", "frame"] = Field(
        "drive", description="Unit that is not divided between the splits."
    )

    # Matching and mining
    count_copies: bool = Field(False, description="Whether copies of earlier frames' images count.")
    operating_score: Score = Field(
        0.5, description="Operating score: detections from it on count as shown to users."
    )
    operating_score_of: str = Field(
        "",
        description="Operating scores of single categories,"
        " `stop sign=.6,NAME@VERSION:stop sign=.7,…`; docs/evaluation.md.",
    )
    mine_misses: bool = Field(
        False,
        description="Whether annotated objects that no detection found become needles; needs"
        " version 2 of the events.",
    )

    # Embedding
    embedder: str = Field(
        "squeezenet1_0",
        description="A backbone, .onnx file, timm:NAME, module:factory or event:MODEL:DIMENSION;"
        " docs/embedding.md.",
    )
    weights: Path | None = Field(None, description="Weights file; empty: the backbone's own.")
    weights_sha256: str = Field("", description="sha256 of the weights file; empty: not checked.")
    pooling: Literal["penultimate", "average", "gem", "rmac", "grid"] = Field(
        "penultimate", description="Pooling of the backbone's last feature map into a vector."
    )
    region_encoder: Literal["crop", "roi"] = Field(
        "crop",
        description="Regions: embedded as crops, or by RoIAlign on the frame's feature map.",
    )
    region_score: Score = Field(0.3, description="Minimum score of an embedded detection.")
    vector_quantization: Literal["none", "int8"] = Field(
        "none",
        description="Vector quantisation of new collections; int8 takes a third of the memory.",
    )
    embed_batch: Count = Field(16, description="Maximum number of images per forward pass.")
    embed_queue_bytes: Count = Field(
        536_870_912,
        description="Maximum bytes of decoded images, of a forward pass and the next one.",
    )
    embed_runtime: Literal["auto", "openvino", "torch", "cuda"] = Field(
        "auto", description="Inference engine; auto: the GPU if there is one, else OpenVINO."
    )
    embed_precision: Literal["fp32", "bf16", "int8"] = Field(
        "fp32", description="Numeric precision of the backbone; docs/embedding.md."
    )
    embed_int8: Path | None = Field(
        None, description="The file that `gazeloop calibrate` wrote, for int8."
    )
    embed_int8_sha256: str = Field("", description="sha256 of that file; empty: not checked.")
    embed_decode: Literal["scaled", "full"] = Field(
        "scaled",
        description="Decoding of JPEG frames for RoIAlign: at the resolution needed, or in full.",
    )
    torch_threads: Count = Field(2, description="Number of CPU threads of the backbone.")

    # Shortlists
    epoch_s: Seconds = Field(2.0, description="Length of an epoch while events arrive, in seconds.")
    epoch_events: Count = Field(2048, description="Number of events that closes an epoch early.")
    frame_cache_bytes: Count = Field(
        268_435_456, description="Size of the retriever's cache of frames, in bytes."
    )
    needle_cache_bytes: Count = Field(
        134_217_728,
        description="Size of the retriever's cache of needles with their shortlists, in bytes.",
    )
    match_cache_bytes: Count = Field(
        536_870_912, description="Size of the retriever's cache of labelled regions, in bytes."
    )
    model_cache_bytes: Count = Field(
        1_073_741_824,
        description="Size of its cache of failure models, in bytes; others are read again.",
    )
    vector_cache_bytes: Count = Field(
        134_217_728, description="Size of the retriever's cache of region vectors, in bytes."
    )
    worth_cache_bytes: Count = Field(
        268_435_456, description="Size per detector of what haystack frames are worth, in bytes."
    )
    miss_table_bytes: Count = Field(
        536_870_912,
        description="Size per detector of what `missed-objects` knows of frames, in bytes; beyond"
        " it the frames captured first are not scored again.",
    )
    shortlist_size: Count = Field(10, description="Maximum number of frames per shortlist.")
    shortlist_per_drive: Count = Field(
        3, description="Maximum number of frames of one drive per shortlist."
    )
    shortlist_strategy: Literal[
        "worst-frames", "costliest-errors", "label-efficiency", "missed-objects"
    ] = Field(
        "worst-frames",
        description="What shortlists optimise; docs/shortlists.md compares the strategies.",
    )
    shortlist_budget: Share = Field(
        0.15,
        description="Share of haystack frames that may be listed; at least one shortlist's size.",
    )
    sampled_share: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0,
        description="Share of that budget for frames drawn by chance, from which figures of the"
        " whole haystack are estimated; needs GAZELOOP_EVENT_VERSION=2.",
    )
    shortlist_early: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="Share of the budget that is listed while the haystack still grows fast."
    )
    budget_per_day: Limit = Field(
        0, description="Maximum frames on shortlists per UTC day of capture; 0: no limit."
    )
    budget_per_vehicle: Limit = Field(0, description="Maximum of those per vehicle; 0: no limit.")
    budget_per_family: Limit = Field(
        0, description="Maximum of those per family of needles; 0: no limit."
    )
    shortlist_evidence: Score = Field(
        0.3, description="Minimum evidence of a shortlisted region; a probability if learnt."
    )
    shortlist_apart_s: Seconds = Field(
        1.0, description="Frames of a drive are near-duplicates within this time, in seconds."
    )
    shortlist_apart_m: Annotated[float, Field(ge=0)] = Field(
        5.0, description="Frames of a drive are near-duplicates within this distance, in metres."
    )
    shortlist_pool: Count = Field(
        1000, description="Maximum number of nearest regions that are considered per failure mode."
    )

    # Families of needles
    family_likeness: Score = Field(
        0.5,
        description="Minimum cosine of a family's needles, without what all needles share.",
    )
    family_quiet_drives: Count = Field(
        3, description="Number of drives without a new member until a reviewed family is resolved."
    )
    recheck_suspicion: Score = Field(
        0.5, description="Minimum suspicion at which an annotation is listed for checking."
    )

    # The evaluator
    evaluate_every_s: Seconds = Field(
        0.5, description="Interval at which the gauges are updated, in seconds."
    )
    figures_frames: Count = Field(
        500_000,
        description="Maximum frames, summed over detectors, behind figures over time, curves and"
        " error costs; with more, a uniform sample.",
    )

    # Logs and traces
    log_level: LogLevel = Field("INFO", description="Minimum level of logged events.")
    traces: str = Field(
        "", description="URL of an OTLP collector, `http://HOST:4318/v1/traces`; empty: no traces."
    )
    trace_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="Share of frames and requests that start a trace."
    )

    # Redaction of what people see
    redact: str = Field(
        "", description="Categories that people and exports must not see; docs/privacy.md."
    )
    redact_detector: str = Field(
        "",
        validate_default=True,
        description="Detector whose predictions find them: `NAME`, or `NAME@VERSION`. It is not"
        " mined.",
    )
    redact_style: Literal["black", "blur"] = Field(
        "black", description="What becomes of their pixels."
    )
    redact_undetected: Literal["hide", "show"] = Field(
        "hide", description="Frames without that detector's predictions: hidden, or shown as is."
    )
    redact_training: bool = Field(
        True, description="Whether training sets for the detector have redacted images."
    )

    # The review page
    review_claim_s: Seconds = Field(
        300.0, description="How long a claim on a needle lasts, in seconds."
    )
    review_cache_bytes: Count = Field(
        536_870_912, description="Size of the disk cache of crops and thumbnails, in bytes."
    )
    review_base_map: Path | None = Field(
        None,
        description="PMTiles file of vector tiles, drawn below the drives on the map of needles;"
        " empty: a plain ground.",
    )
    annotation_tool: str = Field(
        "",
        description="URL of the team's tool; `{frame_id}` is replaced by the frame's id.",
    )

    # CVAT
    cvat_url: str = Field("", description="URL of CVAT, for `gazeloop cvat`.")
    cvat_token: SecretStr = Field(SecretStr(""), description="Personal access token of CVAT.")

    # Webhooks
    webhooks: str = Field(
        "", description="Receivers of shortlists, `name=https://…,…`; docs/webhooks.md."
    )
    webhook_secrets: Path | None = Field(
        None,
        description="Folder of their secrets, a file each; empty: `webhooks` in the data folder.",
    )
    webhook_timeout_s: Seconds = Field(
        10.0, description="Maximum wait for a receiver's answer, in seconds."
    )
    webhook_give_up_s: Seconds = Field(
        120.0, description="How long a delivery is retried until it is a dead letter, in seconds."
    )

    # The bridge
    bridge_topic: str = Field(
        "", description="Topic that a detector writes to; empty: none. docs/connect-a-detector.md."
    )
    bridge_kafka: str = Field(
        "", description="Bootstrap servers of the topic's cluster; empty: Gazeloop's own."
    )
    bridge_kafka_tls: bool = Field(
        False, description="Whether connections to the topic's cluster use TLS."
    )
    bridge_kafka_ca: Path | None = Field(
        None, description="CA certificate file for the topic's cluster; empty: the system's."
    )
    bridge_kafka_user: str = Field(
        "", description="User of the topic's cluster; empty: no authentication."
    )
    bridge_kafka_password: SecretStr = Field(
        SecretStr(""), description="Password of the user of the topic's cluster."
    )
    bridge_format: str = Field(
        "", description="Its messages' format, as `--predictions-format` names it."
    )
    bridge_detector: str = Field("", description="Whose output it is, `NAME@VERSION`.")
    bridge_class_names: str = Field(
        "", description="File with the names of the detector's classes, for formats of numbers."
    )
    bridge_frame_id: str = Field(
        "",
        description="Frame of a message, such as `{sensorId}:{id}`; empty: `{image}`, or by time.",
    )
    bridge_vehicle: str = Field(
        "", description="To pair by time: the frame's vehicle, such as `{sensorId}`."
    )
    bridge_time: str = Field(
        "", description="To pair by time: the frame's capture time, such as `{@timestamp}`."
    )
    bridge_tolerance_s: Seconds = Field(
        0.05, description="To pair by time: most between message and frame, in seconds."
    )
    bridge_unmatched: Literal["dead-letter", "skip"] = Field(
        "dead-letter",
        description="To pair by time: what becomes of messages of frames that were not captured.",
    )
    bridge_wait_s: Seconds = Field(
        60.0, description="How long a message waits for its frame, from its time on, in seconds."
    )

    # Label Studio
    label_studio_url: str = Field("", description="URL of Label Studio; empty: not used.")
    label_studio_token: SecretStr = Field(
        SecretStr(""), description="Access token of Label Studio, from its account page."
    )
    label_studio_project: Annotated[str, Field(min_length=1, max_length=50)] = Field(
        "Gazeloop", description="Title of the project for shortlists."
    )
    label_studio_poll_s: Seconds = Field(
        60.0, description="Interval at which Label Studio is polled for changes, in seconds."
    )
    label_studio_webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that Label Studio's webhooks must send; empty: webhooks are refused.",
    )
    public_url: str = Field(
        "",
        description="URL at which Label Studio and annotators' browsers reach ingest; empty: images"
        " are uploaded.",
    )
    review_url: str = Field(
        "",
        description="URL at which people reach the review page, like https://review.example/review;"
        " commands print links to it. Empty: the page of a running `gazeloop up`, else"
        " GAZELOOP_PUBLIC_URL with /review.",
    )

    @field_validator(
        "mongodb",
        "qdrant",
        "blobs",
        "traces",
        "annotation_tool",
        "cvat_url",
        "label_studio_url",
        "public_url",
        "review_url",
    )
    @classmethod
    def _has_no_password(cls, url: str) -> str:
        """Refuse passwords, because logs, errors and `gazeloop settings` show URLs."""
        if urlsplit(url).password is not None:
            raise ValueError(
                "a password in a URL would be shown; take it out, and set"
                " GAZELOOP_MONGODB_PASSWORD, GAZELOOP_QDRANT_API_KEY or the driver's own variable"
            )
        return url

    @field_validator("operating_score_of")
    @classmethod
    def _are_scores(cls, listed: str) -> str:
        """Refuse what names no category, or no score."""
        OperatingScores.parsed(0, listed)
        return listed

    @field_validator("topic_partitions_of", "topic_retention_days_of")
    @classmethod
    def _name_topics(cls, listed: str, info: ValidationInfo) -> str:
        """Refuse topics that do not exist, and numbers that no topic can have."""
        whole = info.field_name == "topic_partitions_of"
        for topic, number in _numbers_of(listed).items():
            if topic not in BY_NAME:
                raise ValueError(f"{topic} is no topic; there are {', '.join(BY_NAME)}")
            if number <= 0 or (whole and number % 1):
                raise ValueError(f"{topic} cannot have {number:g}")
        return listed

    def partitions_of(self, topic: str) -> int:
        """Number of partitions that a topic is to have."""
        return int(_numbers_of(self.topic_partitions_of).get(topic, self.topic_partitions))

    def retention_days_of(self, topic: str) -> float:
        """How long a topic that is not compacted is to keep events, in days."""
        return _numbers_of(self.topic_retention_days_of).get(topic, self.topic_retention_days)

    @property
    def operating_scores(self) -> OperatingScores:
        """From which scores on detections count as shown."""
        return OperatingScores.parsed(self.operating_score, self.operating_score_of)

    @property
    def split_rule(self) -> SplitRule:
        """Which frames are the reference and which the haystack."""
        return SplitRule(self.reference_share, self.split_seed, by_frame=self.split_by == "frame")

    @property
    def divides_budget(self) -> bool:
        """Whether shortlists' budget is divided among purposes."""
        return self.shortlist_strategy == "label-efficiency"

    @property
    def lists_misses(self) -> bool:
        """Whether shortlists are for missed objects, not for false positives."""
        return self.shortlist_strategy == "missed-objects"

    @field_validator("mine_misses")
    @classmethod
    def _misses_can_be_written(cls, mined: bool, info: ValidationInfo) -> bool:
        """Refuse misses where version 1 is written, which would drop them."""
        if mined and info.data.get("event_version") == 1:
            raise ValueError("misses need GAZELOOP_EVENT_VERSION=2")
        return mined

    @field_validator("shortlist_strategy")
    @classmethod
    def _misses_are_mined(cls, strategy: str, info: ValidationInfo) -> str:
        """Refuse to list for misses where there are none."""
        # Absent where it is wrong itself.
        if strategy == "missed-objects" and info.data.get("mine_misses") is False:
            raise ValueError("missed-objects needs GAZELOOP_MINE_MISSES=true")
        return strategy

    @field_validator("sampled_share")
    @classmethod
    def _draws_can_be_written(cls, share: float, info: ValidationInfo) -> float:
        """Refuse draws where version 1 is written, which would drop their probabilities."""
        if share and info.data.get("event_version") == 1:
            raise ValueError("drawn frames need GAZELOOP_EVENT_VERSION=2")
        return share

    @field_validator("redact_detector")
    @classmethod
    def _redaction_has_a_detector(cls, detector: str, info: ValidationInfo) -> str:
        """Refuse categories that no detector finds, which would redact nothing."""
        if info.data.get("redact") and not detector:
            raise ValueError("GAZELOOP_REDACT needs the detector that finds its categories")
        return detector

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, listed: str) -> str:
        """Refuse host names, which never match, and `*`, which trusts every client."""
        for address in _parts(listed):
            ip_network(address)
        return listed

    @property
    def proxies(self) -> list[str]:
        """Addresses and networks of the trusted proxies."""
        return _parts(self.trusted_proxies)

    @property
    def redacted_categories(self) -> list[str]:
        """Categories whose regions people must not see."""
        return _parts(self.redact)

    @property
    def hosts(self) -> list[str]:
        """Accepted host names, in addition to loopback's and the server's own address."""
        public = (urlsplit(url).hostname for url in (self.public_url, self.review_url))
        return [*_parts(self.allowed_hosts), *(name for name in public if name)]

    @property
    def blob_url(self) -> str:
        """The blob store's URL; by default, a folder in the data folder."""
        return self.blobs or (self.data.resolve() / "blobs").as_uri()


def _parts(listed: str) -> list[str]:
    return [part.strip() for part in listed.split(",") if part.strip()]


def _numbers_of(listed: str) -> dict[str, float]:
    """The numbers in `name=number,…`."""
    pairs = (part.partition("=") for part in _parts(listed))
    return {name.strip(): float(number) for name, _, number in pairs}

"""What grows while a deployment runs, and what bounds it.

A unit test compares this with the code: every collection, every topic, and every setting that
bounds bytes or ages has a row. Adding one therefore requires deciding what bounds it.
"""

from dataclasses import dataclass
from typing import Final

from services.contracts.topics import TOPICS
from services.domain.ports.epochs import EPOCHS_KEPT
from services.domain.ports.failure_models import MODELS_KEPT
from services.domain.shortlists.mode_queue import MAX_KEPT_CANDIDATES
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Growing:
    """Data of which more and more comes.

    Attributes
    ----------
    part : where it is stored
    names : the collections, topics or caches
    grows_by : what adds to it
    bound : what ends or shrinks it
    settings : those that bound it
    """

    part: str
    names: tuple[str, ...]
    grows_by: str
    bound: str
    settings: tuple[str, ...] = ()


_KEPT: Final = "kept; `gazeloop erase` deletes a frame's"
_BY_NAMES: Final = "no more than there are detectors, categories, tools or settings"
_FRAMES: Final = (
    *("frames", "predictions", "matches", "embeddings", "pictures", "revisions"),
    *("older_revisions", "held_corrections"),
)

BOUNDS: Final = (
    Growing(
        "kafka",
        tuple(topic.name for topic in TOPICS),
        "event",
        "deleted by age",
        ("topic_retention_days", "topic_retention_days_of"),
    ),
    Growing(
        "mongodb",
        _FRAMES,
        "frame, detector version and revision",
        "by age, where no annotation or shortlist needs the frame; else by `gazeloop erase`",
        ("retain_unlisted_days", "retain_until_archived", "retention_per_minute"),
    ),
    Growing("mongodb", ("needles", "shortlists"), "error on an annotated frame", _KEPT),
    Growing(
        "mongodb",
        ("reviews", "review_keys", "review_claims", "family_changes"),
        "decision, claim",
        "by age, where the needle is retracted",
        ("retain_verdicts_days",),
    ),
    Growing(
        "mongodb",
        ("annotation_tasks", "annotation_asks", "label_answers", "corrections"),
        "task, correction",
        _KEPT,
    ),
    Growing("mongodb", ("figures",), "change of a figure", "by age", ("retain_figures_days",)),
    Growing("mongodb", ("audit", "archives"), "person's action", "kept: it is the record of them"),
    Growing("mongodb", ("tombstones",), "erased frame", "kept: it keeps the frame out"),
    Growing(
        "mongodb",
        ("imports", "import_items", "undos"),
        "import, day of a service or person, imported frame",
        "by age: what was published so long ago cannot be undone any more",
        ("retain_imports_days",),
    ),
    Growing("mongodb", ("undone_frames",), "undone frame", _KEPT),
    Growing(
        "mongodb",
        ("unreadable_documents",),
        "document that cannot be read",
        "one for each document that is stored",
    ),
    Growing(
        "mongodb",
        ("epochs", "epoch_changes"),
        "epoch",
        f"{EPOCHS_KEPT:,} epochs per detector; changes since all rows were recorded",
    ),
    Growing(
        "mongodb", ("failure_models",), "fit", f"{MODELS_KEPT} models per detector and category"
    ),
    Growing("mongodb", ("review_sessions", "leases"), "login, process", "deleted when they end"),
    Growing("mongodb", ("region_map",), "map", "replaced by the next"),
    Growing("mongodb", ("region_shortlists",), "circled shortlist", "200, of 5,000 regions each"),
    Growing("mongodb", ("saved_views", "tokens"), "person", "50 views each; tokens by hand"),
    Growing("mongodb", ("known_places",), "place that a person marks", "until that is taken back"),
    Growing(
        "mongodb",
        (
            *("annotation_tool", "budgets", "category_maps", "comparisons", "curves"),
            *("doctor", "estimates", "repair_gains", "replaced_models", "schemas"),
            *("slice_curves", "stores"),
        ),
        "detector, category",
        _BY_NAMES,
    ),
    Growing(
        "mongodb",
        ("frames_v1", "matches_v1", "migration"),
        "migration",
        "dropped by `gazeloop migrate --drop-old`",
    ),
    Growing(
        "vectors",
        ("frame and region vectors of each model",),
        "frame, detection",
        "with their frame; those of a replaced model by age",
        ("retain_vectors_days", "retain_unlisted_days", "vector_quantization"),
    ),
    Growing(
        "blobs",
        ("images",),
        "image",
        "by age, where the frame is annotated; else with their frame",
        ("retain_images_days", "retain_unlisted_days"),
    ),
    Growing(
        "retriever",
        ("caches of frames, needles, matches, models, vectors, worths",),
        "frame, needle, annotation",
        "in bytes; what was not used for longest is read again",
        (
            *("frame_cache_bytes", "needle_cache_bytes", "match_cache_bytes"),
            *("model_cache_bytes", "vector_cache_bytes", "worth_cache_bytes"),
        ),
    ),
    Growing(
        "retriever",
        ("what `missed-objects` knows of frames",),
        "predicted frame",
        "in bytes per detector; the frames captured first go",
        ("miss_table_bytes",),
    ),
    Growing(
        "retriever",
        ("candidates",),
        "haystack region with evidence",
        f"the best {MAX_KEPT_CANDIDATES:,} of each failure mode",
    ),
    Growing(
        "retriever",
        ("listed frames",),
        "haystack frame",
        "the budgets",
        ("shortlist_budget", "budget_per_day", "budget_per_vehicle", "budget_per_family"),
    ),
    Growing(
        "evaluator",
        ("matches of its categories",),
        "annotated frame",
        "60 bytes a detection, divided among replicas by category",
        ("topic_partitions_of",),
    ),
    Growing(
        "evaluator",
        ("figures over time, curves, costs of errors",),
        "annotated frame",
        "a uniform sample of so many frames",
        ("figures_frames",),
    ),
    Growing(
        "embedder", ("decoded images",), "frame in a batch", "in bytes", ("embed_queue_bytes",)
    ),
    Growing(
        "all services", ("a batch of events",), "event", "in bytes", ("batch_size", "batch_bytes")
    ),
    Growing(
        "ingest",
        ("a request, an image",),
        "upload",
        "in bytes and pixels; requests per minute",
        ("max_body_bytes", "max_image_bytes", "max_image_pixels", "rate_limit"),
    ),
    Growing(
        "review page",
        ("crops and thumbnails on disk",),
        "image that is shown",
        "in bytes",
        ("review_cache_bytes",),
    ),
)


def settings_of(growing: Growing, settings: Settings) -> dict[str, object]:
    """The settings that bound it, with their values."""
    return {name: getattr(settings, name) for name in growing.settings}

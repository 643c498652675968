"""Every subcommand of `gazeloop`: where it is, and its line in the help, by section."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from typer.core import TyperGroup

from services.cli.lazy import LazyCommand

_SECTIONS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Mine data": {
        "demo": (
            "demo_command",
            "Mine a synthetic survey from end to end, and print the report.",
        ),
        "up": (
            "serve_command",
            "Run the broker, the stores and all services on the data folder, until Ctrl-C.",
        ),
        "mine": (
            "mine_command",
            "Mine a data set in one command: publish, embed, match, retrieve, report, draw.",
        ),
        "ingest": (
            "ingest_command",
            "Publish a data set as events, with a progress bar; resumable, and safe to repeat.",
        ),
    },
    "View results": {
        "evaluate": (
            "evaluate_command",
            "Evaluate a detector's results on a ground truth: two files in, COCO's numbers out.",
        ),
        "report": (
            "report_command",
            (
                "Print frames, needles, the cost of errors, mAP of R, H, S and H-S, and shortlist"
                " yield."
            ),
        ),
        "compare": (
            "compare_command",
            (
                "Compare two detector versions on the same frames: what is fixed, better, worse,"
                " broken."
            ),
        ),
        "gate": (
            "gate_command",
            "End with 0 if a new detector version is good enough, else with 1: for pipelines.",
        ),
        "sample": (
            "sample_command",
            "Estimate AP, precision and recall of the haystack from frames drawn by chance.",
        ),
        "families": (
            "families_command",
            "Print families of needles, labels to check again, and families that merged or split.",
        ),
        "label-errors": (
            "label_errors_command",
            "Print labels of the reference that are probably wrong, the most suspicious first.",
        ),
        "search": (
            "search_command",
            "Find frames similar to an image, to a region of it, or to a text, and draw them.",
        ),
        "needles": ("needles_command", "List the detector's failures on reference frames."),
        "shortlists": (
            "shortlists_command",
            "List shortlists with their verdicts, and show how budgets are spent.",
        ),
        "frames": ("frames_command", "Show a frame, and list frames that do not count."),
        "categories": (
            "categories_command",
            "Map a detector's category names to those of the ground truth.",
        ),
    },
    "Correct and retrain": {
        "export": (
            "export_command",
            "Write frames with their ground truth for an annotation tool, or all tables.",
        ),
        "training-set": (
            "export_command",
            "Write a training set for the detector: annotated frames, never one of the reference.",
        ),
        "questions": (
            "questions_command",
            "Answer the questions of held corrections: unknown labels, annotators who disagree.",
        ),
        "cvat": (
            "cvat_command",
            "Send shortlists to a CVAT server, and fetch the annotation team's corrections.",
        ),
        "label-studio": (
            "label_studio_command",
            "Push shortlists as tasks, and pull what annotators submit.",
        ),
    },
    "Embedding models": {
        "train": (
            "train_command",
            "Train an embedding network: autoencoders to reconstruct, all others to classify.",
        ),
        "whiten": (
            "whiten_command",
            (
                "Fit a PCA whitening to the configured embedder, and write its weights with the"
                " whitening."
            ),
        ),
        "calibrate": (
            "calibrate_command",
            "Quantise the configured embedder to 8-bit integers, which many CPUs compute faster.",
        ),
        "models": (
            "models_command",
            "Fill, compare and switch embedding models while searches continue.",
        ),
        "benchmark": ("benchmark_command", "Measure on your own annotated frames."),
    },
    "Operate": {
        "status": (
            "status_command",
            "Show services, lag per topic and dead letters. Starts nothing.",
        ),
        "doctor": (
            "doctor_command",
            "Check a deployment: connections, topic configuration, permissions, clocks, models.",
        ),
        "settings": (
            "settings_command",
            "Print every setting with its value, default and meaning, by group.",
        ),
        "run": (
            "serve_command",
            "Run one service in production, on the broker and stores that the settings name.",
        ),
        "dead-letters": (
            "dead_letters_command",
            "List records that could not be processed; replay them after a fix, or discard them.",
        ),
        "tokens": (
            "tokens_command",
            "Create, list, rotate and revoke bearer tokens of vehicles and people.",
        ),
        "audit": (
            "audit_command",
            "Print who erased, exported, changed tokens and decided about needles, oldest first.",
        ),
        "erase": (
            "erase_command",
            "Delete all that is known of a frame, a drive or a vehicle, and keep it out.",
        ),
        "imports": (
            "imports_command",
            "List imports, campaigns' corrections and bridges; `gazeloop undo` takes them back.",
        ),
        "undo": (
            "undo_command",
            "Take back what an import published, or what a detector version predicted.",
        ),
        "backup": (
            "backup_command",
            "Back up the stores, images and offsets while services run: `gazeloop backup TO`.",
        ),
        "restore": (
            "restore_command",
            (
                "Restore a backup to an empty data folder, or to the empty stores that the settings"
                " name."
            ),
        ),
        "retention": (
            "retention_command",
            "Show what is kept for how long, and archive frames before they are erased.",
        ),
        "topics": ("topics_command", "Create or alter the topics of a real Kafka cluster."),
        "broker": (
            "broker_command",
            ("Fetch the Apache Kafka that the embedded stack runs, instead of a broker in memory."),
        ),
        "migrate": (
            "migrate_command",
            "Migrate the stores to the version that this Gazeloop uses.",
        ),
    },
}


class Subcommands(TyperGroup):
    """The top-level group."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for command in _commands():
            self.add_command(command)


def _commands() -> Iterator[LazyCommand]:
    for section, commands in _SECTIONS.items():
        for name, (module, summary) in commands.items():
            yield LazyCommand(name, f"services.cli.{module}", summary, section)

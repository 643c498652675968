"""A list of needles as a table: the columns that CSV files and the terminal share."""

from services.annotation.ports.needle_lists import NeedleRow

COLUMNS = (
    *("needle_id", "category", "error_type", "true_category", "detector", "score"),
    *("candidates", "stage", "decided", "fails_too", "unsure", "family"),
    *("frame_id", "drive_id", "captured_at"),
)


def cells(row: NeedleRow) -> tuple[object, ...]:
    """A row's values, in the order of `COLUMNS`."""
    needle, review = row.needle, row.review
    counts = (review.decided, review.accepted, review.unsure) if review else (0, 0, 0)
    return (
        *(needle.needle_id, needle.category, needle.error_type.value, needle.true_category),
        *(needle.detector, needle.score, row.candidates, row.stage.value, *counts, row.family),
        *(needle.frame_id, needle.drive_id, needle.captured_at.isoformat()),
    )

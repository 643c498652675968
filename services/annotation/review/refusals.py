"""Why an act did not change a review, with the text for the person."""

from dataclasses import dataclass
from enum import Enum

from services.annotation.ports.reviews import Claim


class Lost(Enum):
    """Why an act was refused."""

    CLAIMED = "claimed"
    DECIDED = "decided"
    CORRECTED = "corrected"
    NOTHING = "nothing"
    UNRECORDED = "unrecorded"
    """The ground truth is published; the same act again only records it."""


@dataclass(frozen=True)
class Refusal:
    """An act that did not change the review, with the text for the person."""

    why: Lost
    text: str


NOT_THE_LAST = (
    "The act that you wanted to undo is not your last one here: it was refused, or is already "
    "undone. Nothing was undone."
)
OVERTAKEN = (
    "The frame's ground truth has changed since you loaded the page. Your change was not saved."
)
CONTENDED = Refusal(
    Lost.DECIDED,
    "Other people are deciding at the same time. Your change was not saved; try again.",
)
UNRECORDED = Refusal(
    Lost.UNRECORDED,
    "The frame's ground truth is changed as you wanted. The review does not show it yet, because "
    "other people are deciding at the same time: load the page again, and decide what is open.",
)


def claimed_text(claim: Claim) -> str:
    """The text that reports another person's claim."""
    return (
        f"{claim.by} works on this needle until {claim.until:%H:%M} UTC. Your change was not saved."
    )

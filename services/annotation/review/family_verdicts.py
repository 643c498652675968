"""One verdict on everything that is undecided on a family's shortlists."""

from dataclasses import dataclass

from services.annotation.ports.needle_filters import NeedleFilter, Sort, Stage
from services.annotation.ports.reviews import Act
from services.annotation.review.context import ReviewContext
from services.annotation.review.refusals import Lost
from services.annotation.review.reviewing import Reviewer
from services.annotation.review.sessions import Session

MAX_AT_ONCE = 200
"""Shortlists: each takes some writes, and people wait for the answer."""


@dataclass(frozen=True)
class FamilyVerdict:
    """What a verdict on a family did.

    Attributes
    ----------
    claimed : number of shortlists that were left to the people who have claimed them
    refused : why other shortlists were left as they were, each reason once
    beyond : number of shortlists to review that come after the most that are decided at once
    """

    shortlists: int
    claimed: int
    refused: tuple[str, ...]
    beyond: int = 0


async def decide_family(
    context: ReviewContext, session: Session, family: str, act: Act, note: str
) -> FamilyVerdict:
    """Decide the undecided candidates of a family's shortlists, at most `MAX_AT_ONCE`.

    Every shortlist gets an event of its own, which its needle's page can undo.

    Raises
    ------
    StoreUnavailable
        A store does not answer; the shortlists before are decided.
    """
    wanted = NeedleFilter(family=family, stage=Stage.TODO)
    lists = context.stores.needle_lists
    to_review = await lists.count(wanted)
    ids = await lists.ids(wanted, Sort.SCORE, limit=MAX_AT_ONCE)
    records = await context.stores.needles.load(ids)
    refused = []
    for record in records.values():
        refusal = await Reviewer(context, session, record).decide_rest(act, note)
        if refusal is not None:
            refused.append(refusal)
    claimed = sum(refusal.why is Lost.CLAIMED for refusal in refused)
    others = (refusal.text for refusal in refused if refusal.why is not Lost.CLAIMED)
    return FamilyVerdict(
        len(records) - len(refused),
        claimed,
        tuple(dict.fromkeys(others)),
        max(to_review - len(ids), 0),
    )

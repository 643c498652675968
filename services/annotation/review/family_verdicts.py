"""One verdict on everything that is undecided on a family's shortlists."""

from dataclasses import dataclass

from services.annotation.ports.needle_filters import NeedleFilter, Sort, Stage
from services.annotation.ports.reviews import Act
from services.annotation.review.context import ReviewContext
from services.annotation.review.reviewing import Reviewer
from services.annotation.review.sessions import Session

_MOST = 200


@dataclass(frozen=True)
class FamilyVerdict:
    """What a verdict on a family did.

    Attributes
    ----------
    refused : why a shortlist was left as it was, each reason once
    """

    shortlists: int
    refused: tuple[str, ...]


async def decide_family(
    context: ReviewContext, session: Session, family: str, act: Act, note: str
) -> FamilyVerdict:
    """Decide the undecided candidates of a family's shortlists, at most 200 shortlists.

    Every shortlist gets an event of its own, which its needle's page can undo.

    Raises
    ------
    StoreUnavailable
        A store does not answer; the shortlists before are decided.
    """
    wanted = NeedleFilter(family=family, stage=Stage.TODO)
    rows = await context.stores.needle_lists.page(wanted, Sort.SCORE, limit=_MOST)
    records = await context.stores.needles.load([row.needle.needle_id for row in rows])
    refused = []
    for record in records.values():
        refusal = await Reviewer(context, session, record).decide_rest(act, note)
        if refusal is not None:
            refused.append(refusal.text)
    return FamilyVerdict(len(records) - len(refused), tuple(dict.fromkeys(refused)))

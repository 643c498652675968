"""Check that the redacting detector finds what the settings redact, by the names that they give."""

from collections.abc import Iterator, Sequence

from services.app.doctor.finding import Finding, Level
from services.app.first_names import first_names
from services.contracts.events import PredictionsMade
from services.domain.ports.category_maps import MapScope
from services.runtime.settings import Settings
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.mongo import connected

_PART = "redaction"
_FRAMES = 500
_NAMED = 5


async def look_at_redaction(settings: Settings) -> list[Finding]:
    """Compare the categories of the settings with those that the detector has predicted.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        MongoDB does not answer, or refuses access.
    """
    scope = MapScope(settings.redact_detector)
    async with connected(settings) as database:
        made, _ = await MongoFrameStore(database).predictions_after(scope, "", _FRAMES)
    return list(redaction_findings(made, settings))


def redaction_findings(made: Sequence[PredictionsMade], settings: Settings) -> Iterator[Finding]:
    """What some frames' predictions of the redacting detector say of the settings.

    A name that is spelled otherwise than the detector does would redact nothing, and show faces.
    """
    detector, wanted = settings.redact_detector, set(settings.redacted_categories)
    if not made:
        shown = "shown as they are" if settings.redact_undetected == "show" else "not shown"
        what = f"{detector} has predicted nothing yet: frames are {shown}"
        remedy = "publish its predictions, or is GAZELOOP_REDACT_DETECTOR another one's name?"
        yield Finding(Level.WARNING, _PART, what, remedy)
        return
    predicted = {found.category for one in made for found in one.detections}
    missing, others = sorted(wanted - predicted), sorted(predicted - wanted)
    if missing and others:
        named = first_names(others, _NAMED)
        what = f"{detector} never predicts {', '.join(missing)}, but {named}, which is shown"
        remedy = "does GAZELOOP_REDACT spell the names as the detector does?"
        yield Finding(Level.WARNING, _PART, what, remedy)
        return
    found = ", ".join(sorted(wanted & predicted)) or "nothing to redact"
    yield Finding(Level.OK, _PART, f"{detector} finds {found} on {len(made):,} frames")

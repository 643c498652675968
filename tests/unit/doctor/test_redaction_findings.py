"""What the doctor says of redaction."""

import pytest

from services.app.doctor.finding import Level
from services.app.doctor.redaction import redaction_findings
from services.runtime.settings import Settings
from tests import samples

SETTINGS = Settings(redact="face,license plate", redact_detector="privacy")


def finding_of(*categories: str, settings: Settings = SETTINGS) -> tuple[Level, str]:
    made = [samples.predictions_made(*(samples.detection(name) for name in categories))]
    (finding,) = redaction_findings(made if categories != ("none",) else [], settings)
    return finding.level, f"{finding.what}: {finding.remedy}"


def test_a_name_that_the_detector_spells_otherwise_is_found() -> None:
    level, text = finding_of("face", "license_plate")
    assert level is Level.WARNING
    assert "privacy never predicts license plate, but license_plate, which is shown" in text


@pytest.mark.parametrize(
    ("categories", "what"),
    [
        (("face", "license plate"), "finds face, license plate on 1 frames"),
        (("face",), "finds face on 1 frames"),
        (("face", "license plate", "person"), "finds face, license plate"),
        ((), "finds nothing to redact"),
    ],
)
def test_frames_without_a_category_are_no_reason_to_warn(
    categories: tuple[str, ...], what: str
) -> None:
    level, text = finding_of(*categories)
    assert level is Level.OK
    assert what in text


@pytest.mark.parametrize(("undetected", "what"), [("hide", "not shown"), ("show", "shown as")])
def test_a_detector_that_has_predicted_nothing_is_named(undetected: str, what: str) -> None:
    settings = SETTINGS.model_copy(update={"redact_undetected": undetected})
    level, text = finding_of("none", settings=settings)
    assert level is Level.WARNING
    assert f"privacy has predicted nothing yet: frames are {what}" in text
    assert "GAZELOOP_REDACT_DETECTOR" in text

from pathlib import Path

from services.app.doctor.finding import Finding, Level
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings


def settings_for(
    kafka: BrokerAddress | str, mongodb: str, folder: Path, **more: object
) -> Settings:
    """A deployment on these parts."""
    given = {"kafka": str(kafka), "mongodb": mongodb, "data": folder, "delivery_timeout_s": 240}
    return Settings.model_validate(given | more)


def findings_of(found: list[Finding], part: str) -> str:
    """Everything about a part, in one line."""
    return " | ".join(
        f"{finding.level}: {finding.what}: {finding.remedy}"
        for finding in found
        if finding.part == part
    )


def errors(found: list[Finding]) -> list[str]:
    """What is wrong, and not only unwise."""
    return [finding.what for finding in found if finding.level is Level.ERROR]

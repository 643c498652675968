from pathlib import Path

from services.app.doctor.finding import Finding, Level
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings


def settings_for(
    kafka: BrokerAddress | str, mongodb: str, folder: Path, **more: object
) -> Settings:
    """A deployment on these parts."""
    given = {"kafka": str(kafka), "mongodb": mongodb, "data": folder, "delivery_timeout_s": 3}
    return Settings.model_validate(given | more)


def said(found: list[Finding], part: str) -> str:
    """Everything about a part, in one line."""
    return " | ".join(
        f"{each.level}: {each.what}: {each.remedy}" for each in found if each.part == part
    )


def errors(found: list[Finding]) -> list[str]:
    """What is wrong, and not only unwise."""
    return [each.what for each in found if each.level is Level.ERROR]

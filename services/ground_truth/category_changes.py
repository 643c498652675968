"""Changes of a detector's category map: checked, stored, and audited."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Category, detector_id
from services.contracts.names import AnyCategory, DetectorPart
from services.contracts.visible_text import hidden_character
from services.domain.detection.category_map import Names
from services.domain.ports.audit import AuditAct, AuditLog, AuditRecord
from services.domain.ports.category_maps import CategoryMaps, MapScope

_NAMES = TypeAdapter[dict[AnyCategory, AnyCategory | None]](dict[AnyCategory, AnyCategory | None])
_PART = TypeAdapter[DetectorPart](DetectorPart)


@dataclass(frozen=True)
class CategoryChange:
    """Names to add or replace, and names to drop, of a detector or of one version of it."""

    scope: MapScope
    names: Names = field(default_factory=dict)
    dropped: Collection[Category] = ()


def parsed_scope(text: str) -> MapScope:
    """The scope that `NAME` or `NAME@VERSION` names.

    Raises
    ------
    InvalidRecord
        `invalid_detector`.
    """
    name, at, version = text.partition("@")
    try:
        _PART.validate_python(name)
        if at:
            _PART.validate_python(version)
    except ValidationError:
        detail = f"{text!r:.200} is neither NAME nor NAME@VERSION"
        raise InvalidRecord(detail, reason="invalid_detector") from None
    return MapScope(detector_id(name, version) if at else name)


def parsed_names(mapping: Mapping[str, Any]) -> Names:
    """The ground truth's name of each name of the detector; None for one that is ignored.

    Raises
    ------
    InvalidRecord
        `invalid_category`: one is no text, blank, too long, or has an invisible character.
    """
    try:
        names = _NAMES.validate_python(mapping, strict=True)
    except ValidationError as exc:
        error = exc.errors()[0]
        name = f"{error['loc'][0]!r:.200}, or what it maps to," if error["loc"] else "the map"
        detail = f"{name} is not valid: {error['msg']}"
        raise InvalidRecord(detail, reason="invalid_category") from None
    for name in (*names, *filter(None, names.values())):
        if not name.strip() or hidden_character(name):
            detail = f"the category {name!r:.200} is blank or has an invisible character"
            raise InvalidRecord(detail, reason="invalid_category")
    return names


async def change_categories(
    change: CategoryChange, maps: CategoryMaps, audit: AuditLog, by: str, at: datetime
) -> bool:
    """Store a change and note it in the audit log; False if it changes nothing.

    The detector's frames are matched again in ingest's background.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    if not await maps.change(change.scope, change.names, by, at, change.dropped):
        return False
    details: dict[str, str | int] = {
        name: "ignored" if target is None else target
        for name, target in sorted(change.names.items())
    }
    details |= dict.fromkeys(sorted(change.dropped), "unmapped")
    await audit.append(AuditRecord(at, AuditAct.CATEGORIES, by, change.scope, details))
    return True

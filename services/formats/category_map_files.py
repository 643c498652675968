"""Files of category maps."""

from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.domain.detection.category_map import Names
from services.formats.json_files import read_json
from services.ground_truth.category_changes import parsed_names


def read_category_map(path: Path) -> Names:
    """The names in a JSON file: `{"stop_sign": "stop sign", "person": null}`.

    Raises
    ------
    InvalidRecord
        `unreadable_file`, `invalid_json`, `duplicate_key` or `invalid_category`.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        detail = f"{path}: not an object of names, such as {{'stop_sign': 'stop sign'}}"
        raise InvalidRecord(detail, reason="invalid_category")
    try:
        return parsed_names(found)
    except InvalidRecord as exc:
        raise InvalidRecord(f"{path}: {exc}", reason=exc.reason) from exc

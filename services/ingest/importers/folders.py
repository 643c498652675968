"""Files that data sets name: only those inside the folder that the user gave are ever opened."""

from pathlib import Path

from services.contracts.errors import InvalidRecord


def image_file(folder: Path, name: object) -> Path:
    """The file of this name in the folder: an image, or what is said of one.

    Raises
    ------
    InvalidRecord
        `missing_image`, or `path_outside_folder`: the name is absolute, climbs out, or is a link
        that leads out.
    """
    if not isinstance(name, str) or not name:
        raise InvalidRecord("the record names no image file", reason="malformed_record")
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        inside = path.is_relative_to(root) and not Path(name).is_absolute()
        if inside and path.is_file():
            return path
    except (OSError, ValueError, RuntimeError) as exc:  # too long, a NUL, links in a circle
        raise InvalidRecord(f"there is no image {name!r:.200}", reason="missing_image") from exc
    if not inside:
        detail = f"{name!r:.200} is not inside {folder}"
        raise InvalidRecord(detail, reason="path_outside_folder")
    raise InvalidRecord(f"there is no image {name!r:.200} in {folder}", reason="missing_image")

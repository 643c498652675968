"""Which Gazeloop this is: its version, and the commit where it is known."""

import subprocess
from pathlib import Path

import services
from services import __version__

_PACKAGE = Path(services.__path__[0])


def version_line(package: Path = _PACKAGE) -> str:
    """`gazeloop VERSION`, and the commit in parentheses where it is known.

    An image has the commit in the file `services/REVISION`; a checkout knows its own.
    """
    commit = _stamped(package) or _checked_out(package)
    return f"gazeloop {__version__}" + (f" ({commit})" if commit else "")


def _stamped(package: Path) -> str:
    stamp = package / "REVISION"
    return stamp.read_text().strip()[:12] if stamp.is_file() else ""


def _checked_out(package: Path) -> str:
    if not (package.parent / ".git").exists():
        return ""
    command = ["git", "-C", str(package.parent), "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # fixed words
    except (OSError, subprocess.CalledProcessError):
        return ""  # without git, or in a checkout of another user
    return found.stdout.strip()

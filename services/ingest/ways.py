"""How records arrive, for metrics, and to recognise corrections that return to earlier content."""

from typing import Final

IMPORT: Final = "import"
HTTP: Final = "http"
HTTP_IMPORT: Final = "http-import"
"""Ground truth over HTTP that is no reannotation: it is compared with its own kind, so that an
import that is repeated takes back no correction that has been made since."""

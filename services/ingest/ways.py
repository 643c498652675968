"""How records arrive, for metrics, and to recognise corrections that return to earlier content."""

from typing import Final

IMPORT: Final = "import"
HTTP: Final = "http"

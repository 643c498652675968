"""A Label Studio task, as in its API."""

from typing import Any

Json = dict[str, Any]
KEY = "gazeloop_key"
"""The task data field with the frame's id."""

"""A task of Label Studio, as its API takes and gives it."""

from typing import Any

Json = dict[str, Any]
KEY = "gazeloop_key"
"""The field of a task's data that says which frame it asks about."""

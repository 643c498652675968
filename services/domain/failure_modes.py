"""Failure modes: in which way a detector of a category fails."""

from typing import NamedTuple, Self

from services.contracts.events import ErrorType
from services.contracts.identity import Category


class FailureMode(NamedTuple):
    """The error type and, for a classification error, the true category."""

    error: ErrorType
    true_category: Category | None = None

    @classmethod
    def of(cls, error: ErrorType, true_category: Category | None) -> Self:
        """The mode of an error."""
        return cls(error, true_category if error is ErrorType.CLASSIFICATION else None)

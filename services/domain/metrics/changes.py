"""What became of something from one detector version to the next."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from services.domain.statistics.significance import holm_rejected

LEVEL: Final = 0.05


class Change(StrEnum):
    """From a detector version to the next, on the same frames."""

    FIXED = "fixed"
    """Significantly better, and nothing is left of the problem."""
    BETTER = "better"
    SAME = "same"
    """No difference that is significant."""
    WORSE = "worse"
    BROKEN = "broken"
    """Significantly worse, and the old version had no such problem."""

    @classmethod
    def of(cls, gain: float, *, significant: bool, problem: tuple[bool, bool]) -> "Change":
        """The change.

        Parameters
        ----------
        gain : above 0 if the new version is better
        problem : whether the old and the new version have the problem
        """
        before, after = problem
        if not significant or not gain:
            return cls.SAME
        if gain > 0:
            return cls.FIXED if before and not after else cls.BETTER
        return cls.BROKEN if after and not before else cls.WORSE


def significant_changes(p_values: Sequence[float | None]) -> list[bool]:
    """Which changes are significant at 5% after Holm's correction; None: not tested, so it is not.

    A hypothesis that no outcome could reject needs no correction (Tarone, Biometrics 46, 1990), so
    what is on too few frames is not tested, and costs the others nothing.
    """
    tested = [k for k, p_value in enumerate(p_values) if p_value is not None]
    rejected = holm_rejected([p for p in p_values if p is not None], LEVEL)
    found = {k for k, significant in zip(tested, rejected, strict=True) if significant}
    return [k in found for k in range(len(p_values))]

"""When a service stops because too many of its records fail."""

from collections import deque

from services.contracts.errors import TooManyDeadLetters

_RATIO_WINDOW = 1000  # events; `dead_letter_ratio_limit` is a share of these


class DeadLetterLimit:
    """Stops a service when so many events fail that the events cannot be the cause.

    Parameters
    ----------
    run : limit of failed events in a row
    ratio : limit of the share of failed events in the last thousand
    """

    def __init__(self, run: int, ratio: float) -> None:
        self._run_limit = run
        self._ratio_limit = ratio
        self._run = 0
        self._recent: deque[bool] = deque(maxlen=_RATIO_WINDOW)

    def processed(self, count: int) -> None:
        """Count events that were processed."""
        if count:
            self._run = 0
            self._recent.extend([False] * count)

    def dead_lettered(self) -> None:
        """Count one dead letter.

        Raises
        ------
        TooManyDeadLetters
            One of the limits is reached.
        """
        self._run += 1
        self._recent.append(True)
        if self._run >= self._run_limit:
            raise TooManyDeadLetters(f"{self._run} consecutive events could not be processed")
        share = sum(self._recent) / _RATIO_WINDOW
        if len(self._recent) == _RATIO_WINDOW and share >= self._ratio_limit:
            raise TooManyDeadLetters(
                f"{share:.0%} of the last {_RATIO_WINDOW} events could not be processed"
            )

"""Labels whose values come from the data: their number is bounded.

A runaway detector cannot make the registry grow without end.
"""


class BoundedLabel:
    """The first `limit` values of a label keep their name; all others share `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= self._limit:
                return "other"
            self._seen.add(value)
        return value


CATEGORIES = BoundedLabel(2000)  # LVIS, the largest detection benchmark, has 1203
DETECTORS = BoundedLabel(50)
VEHICLES = BoundedLabel(500)

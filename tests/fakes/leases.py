from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class InMemoryLeaseStore:
    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._leases: dict[str, tuple[str, datetime]] = {}

    async def hold(self, name: str, holder: str, length: timedelta) -> bool:
        other, until = self._leases.get(name, (holder, self._now()))
        if other != holder and until > self._now():
            return False
        self._leases[name] = holder, self._now() + length
        return True

    async def release(self, name: str, holder: str) -> None:
        if self._leases.get(name, ("", self._now()))[0] == holder:
            del self._leases[name]

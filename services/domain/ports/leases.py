"""The lease store's protocol: which of several processes does a job that one must do."""

from datetime import timedelta
from typing import Protocol


class LeaseStore(Protocol):
    """Leases by name, each with at most one holder at a time. Time is the store's own."""

    async def hold(self, name: str, holder: str, length: timedelta) -> bool:
        """Take a lease, or renew one's own, for this long from now.

        Returns
        -------
        Whether the holder has it: not while another one's lease lasts.

        Raises
        ------
        StoreUnavailable
            The store does not answer; the lease may or may not be renewed.
        """
        ...

    async def release(self, name: str, holder: str) -> None:
        """End a lease before its time, if this holder has it."""
        ...

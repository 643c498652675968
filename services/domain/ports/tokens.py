"""The token store's protocol: tokens for HTTP, of which only the hash is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class TokenRecord:
    """The stored part of a token."""

    token_id: str
    """Public: names the token in lists and logs."""
    secret_sha256: str
    scope: str
    """`vehicle:<id>`, `annotation:<name>`, `operator:<name>`, or the older `annotation`."""
    created_at: datetime
    revoked_at: datetime | None = None
    """From when it is invalid; in the future for a rotated token."""
    used_at: datetime | None = None
    """When it was last used, to about an hour; None if it never was."""
    prefix: str = ""
    """The prefix of a vehicle's ids; empty for the vehicle's own id."""

    def is_valid(self, now: datetime) -> bool:
        """Whether it is valid at this time."""
        return self.revoked_at is None or now < self.revoked_at


class TokenStore(Protocol):
    """Tokens by id. Every call is durable once it returns."""

    async def add(self, token: TokenRecord) -> None:
        """Store a new token.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def find(self, token_id: str) -> TokenRecord | None:
        """The token of this id, revoked or not."""
        ...

    async def list(self) -> Sequence[TokenRecord]:
        """All tokens, oldest first."""
        ...

    async def revoke(self, token_id: str, at: datetime) -> bool:
        """Revoke a token from then on; False if there is none, or it ends sooner."""
        ...

    async def note_use(self, token_id: str, at: datetime) -> None:
        """Record that a token was used."""
        ...

"""Who may publish over HTTP: tokens, of which only the hash is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class TokenRecord:
    """What is kept of a token."""

    token_id: str
    """Public: names the token in lists and logs."""
    secret_sha256: str
    scope: str
    """`vehicle:<id>`, `annotation:<name>`, or `annotation` of older versions."""
    created_at: datetime
    revoked_at: datetime | None = None
    """From when it counts for nothing; in the future for one that was rotated."""
    used_at: datetime | None = None
    """When it was last used, to the hour or so; none where it never was."""
    prefix: str = ""
    """How a vehicle's ids begin; empty: with the vehicle's own id."""

    def is_valid(self, now: datetime) -> bool:
        """Whether it lets its owner in."""
        return self.revoked_at is None or now < self.revoked_at


class TokenStore(Protocol):
    """Tokens by id. Every call is durable once it returns."""

    async def add(self, token: TokenRecord) -> None:
        """Keep a new token.

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
        """Revoke a token for ever from then on; False where there is none, or it ends sooner."""
        ...

    async def note_use(self, token_id: str, at: datetime) -> None:
        """Remember that a token was used."""
        ...

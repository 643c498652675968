from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.domain.ports.tokens import TokenRecord


class InMemoryTokenStore:
    def __init__(self) -> None:
        self._tokens: dict[str, TokenRecord] = {}

    async def add(self, token: TokenRecord) -> None:
        self._tokens[token.token_id] = token

    async def find(self, token_id: str) -> TokenRecord | None:
        return self._tokens.get(token_id)

    async def list(self) -> Sequence[TokenRecord]:
        return sorted(self._tokens.values(), key=lambda token: (token.created_at, token.token_id))

    async def revoke(self, token_id: str, at: datetime) -> bool:
        token = self._tokens.get(token_id)
        if token is None or not token.is_valid(at):
            return False
        self._tokens[token_id] = replace(token, revoked_at=at)
        return True

    async def note_use(self, token_id: str, at: datetime) -> None:
        token = self._tokens.get(token_id)
        if token is not None:
            self._tokens[token_id] = replace(token, used_at=max(at, token.used_at or at))

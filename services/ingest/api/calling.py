"""The bearer token of a request, and how its caller is found."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.runtime.http.tokens import Caller

_BEARER = HTTPBearer(auto_error=False, description="From `gazeloop tokens create`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
FindCaller = Callable[[HTTPAuthorizationCredentials | None], Awaitable[Caller]]
"""Finds the caller, whose rate is limited; raises `Refused` for an invalid token."""

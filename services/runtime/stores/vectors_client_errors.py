"""Errors of qdrant-client and gRPC as Gazeloop's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from grpc import StatusCode
from grpc.aio import AioRpcError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from services.contracts.errors import Fatal, GazeloopError, InvalidSettings, StoreUnavailable

_BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""Statuses for a missing or wrong API key."""
_BUSY_CODES = {
    *(StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED),
    *(StatusCode.ABORTED, StatusCode.CANCELLED, StatusCode.INTERNAL, StatusCode.UNKNOWN),
}
_REFUSED_CODES = {StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED}
"""The same by gRPC."""


class NoCollectionError(Exception):
    """The server has no such collection."""


def translate_grpc(exc: AioRpcError, doing: str) -> GazeloopError:
    """Translate an error of gRPC, which qdrant-client passes on."""
    detail = f"{doing}: {exc.code().name}: {exc.details()}"
    if exc.code() in _REFUSED_CODES:
        return _refused(detail)
    return StoreUnavailable(detail) if exc.code() in _BUSY_CODES else Fatal(detail)


def translate(exc: QdrantException | ApiException | ValueError, doing: str) -> GazeloopError:
    """Translate an error of qdrant-client."""
    detail = f"{doing}: {exc}"
    if isinstance(exc, UnexpectedResponse) and exc.status_code is not None:
        if exc.status_code in _REFUSED:
            return _refused(detail)
        server_side = exc.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        return (
            StoreUnavailable(detail) if server_side or exc.status_code in _BUSY else Fatal(detail)
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return InvalidSettings(f"{detail} (renew Qdrant's certificate, or see GAZELOOP_QDRANT_CA)")
    if isinstance(exc, ResponseHandlingException | ResourceExhaustedResponse):
        return StoreUnavailable(detail)
    return Fatal(detail)


def _refused(detail: str) -> InvalidSettings:
    return InvalidSettings(f"{detail} (is GAZELOOP_QDRANT_API_KEY right, and may it write?)")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate errors within.

    Parameters
    ----------
    doing : what the errors interrupt, for their texts

    Raises
    ------
    NoCollectionError
        The server has no such collection.
    StoreUnavailable, InvalidSettings, Fatal
        See `translate` and `translate_grpc`.
    """
    try:
        yield
    except AioRpcError as exc:
        if exc.code() is StatusCode.NOT_FOUND:
            raise NoCollectionError from exc
        raise translate_grpc(exc, doing) from exc
    except (QdrantException, ApiException, ValueError) as exc:
        # The client's local mode raises ValueError where a server answers 404.
        missing = isinstance(exc, UnexpectedResponse) and exc.status_code == HTTPStatus.NOT_FOUND
        if missing or (type(exc) is ValueError and "not found" in str(exc)):
            raise NoCollectionError from exc
        raise translate(exc, doing) from exc

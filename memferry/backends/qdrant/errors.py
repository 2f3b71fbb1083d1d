"""What goes wrong at a Qdrant server, and what to do about it. No vendor's exception passes this module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from memferry.errors import (
    AccessDenied,
    AuthFailed,
    BackendError,
    InvalidValue,
    NotFound,
    PermanentError,
    QuotaExceeded,
    TargetRefused,
    TransientError,
)

Maker: TypeAlias = Callable[..., BackendError]

WRONG_KEY = "check `api_key` of the backend, and whether it may write"
UPDATE = "compare the versions of the server and of qdrant-client: pip install --upgrade qdrant-client"
AGAIN = "memferry will try again"
FULL = "free some space on the server's disk, or raise its quota"
NOT_QDRANT = "check `url` of the backend: something else answers there"
NO_ROOM = ("no space left", "disk full", "out of disk", "disk usage", "quota")

_BY_STATUS: Mapping[int, tuple[Maker, str, str]] = {
    400: (InvalidValue, "does not take a request", UPDATE),
    401: (AuthFailed, "does not let us in", WRONG_KEY),
    403: (AccessDenied, "does not let us do this", WRONG_KEY),
    404: (NotFound, "has no such collection", "memferry makes it anew with the next delivery"),
    405: (TargetRefused, "is not Qdrant", NOT_QDRANT),
    408: (TransientError, "took too long", AGAIN),
    409: (TransientError, "is doing something else with it", AGAIN),
    413: (InvalidValue, "finds a request too large", "raise `max_request_size_mb` in the server's configuration"),
    422: (InvalidValue, "does not take a request", UPDATE),
    423: (TransientError, "is locked", "unlock it; " + AGAIN),
    429: (TransientError, "has too much to do", AGAIN),
    507: (QuotaExceeded, "is full", FULL),
}
_BY_CODE: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNIMPLEMENTED: 405,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}


@contextmanager
def explained(backend: str, where: str) -> Iterator[None]:
    """Raise what `mapped` makes of a vendor's error in the block. A ValueError is about a value that cannot be sent;
    the client asserts what an answer holds."""
    try:
        yield
    except (ApiException, QdrantException, grpc.RpcError, httpx.HTTPError, ValueError, AssertionError) as error:
        raise mapped(error, backend, where) from error


def mapped(error: Exception, backend: str, where: str) -> BackendError:
    """The error that says what to do. `where`: the server, as it may be shown. What a server wrote is not repeated: it
    may quote a record."""
    match error:
        case ResourceExhaustedResponse():
            failure = _by_status(429, where, "")
            failure.retry_after_s = float(error.retry_after_s)  # type: ignore[attr-defined]
        case UnexpectedResponse():
            failure = _by_status(error.status_code or 0, where, error.content.decode("utf-8", "replace"))
        case ResponseHandlingException():
            failure = _no_answer(error.source, where)
        case grpc.RpcError():
            failure = _by_code(error, where)
        case httpx.HTTPError():
            failure = _no_answer(error, where)
        case AssertionError():
            failure = _no_answer(error, where)
        case ValueError():
            failure = InvalidValue(f"{where} cannot be sent a point", hint="`memferry status` names its operation")
        case _:
            failure = PermanentError(f"{where}: {type(error).__name__}", hint=UPDATE)
    failure.backend = backend
    return failure


def _by_status(status: int, where: str, said: str) -> BackendError:
    if status >= 429 and any(sign in said.lower() for sign in NO_ROOM):
        status = 507
    if status in _BY_STATUS:
        make, what, hint = _BY_STATUS[status]
        return make(f"{where} {what} (status {status})", hint=hint)
    if status >= 500:
        return TransientError(f"{where} has a problem of its own (status {status})", hint="see its log; " + AGAIN)
    if 300 <= status < 400:
        return TargetRefused(f"{where} leads elsewhere (status {status})", hint="give the final address as `url`")
    return PermanentError(f"{where} answers with status {status}", hint=NOT_QDRANT)


def _no_answer(source: Exception, where: str) -> BackendError:
    if isinstance(source, ValidationError | ValueError | AssertionError):
        return TargetRefused(f"{where} answers something that is not Qdrant's", hint=NOT_QDRANT)
    if isinstance(source, httpx.TimeoutException):
        return TransientError(f"{where} does not answer in time", hint="raise `timeout_s` if it is slow; " + AGAIN)
    return TransientError(
        f"{where} cannot be reached: {type(source).__name__}", hint="start it, or check `url`; " + AGAIN
    )


def _by_code(error: grpc.RpcError, where: str) -> BackendError:
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    said = (error.details() or "") if isinstance(error, grpc.Call) else ""
    return _by_status(_BY_CODE.get(code, 500), where, said)

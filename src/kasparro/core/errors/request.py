"""An HTTP request that cannot be answered as asked."""

from __future__ import annotations

from kasparro.core.errors.base import KasparroError


class RequestError(KasparroError):
    """The request cannot be answered as asked."""

    code = "request"


class NotFound(RequestError):
    """There is no such thing."""

    code = "not_found"


class InvalidParameter(RequestError):
    """A parameter is not usable."""

    code = "invalid_parameter"

    def __init__(self, parameter: str, message: str, *, hint: str | None = None) -> None:
        self.parameter = parameter
        super().__init__(message, hint=hint)


class InvalidCursor(RequestError):
    """The cursor is damaged, or not one of this version."""

    code = "invalid_cursor"
    parameter = "cursor"

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or "Begin again without it")


class InvalidQuery(RequestError):
    """The GraphQL query cannot be read, or does not fit the schema."""

    code = "invalid_query"


class QueryRefused(RequestError):
    """The GraphQL query asks for more than is answered at once."""

    code = "query_refused"


class ExtraMissing(RequestError):
    """What this needs is not installed."""

    code = "extra_missing"


class NotAuthenticated(RequestError):
    """A valid API key is needed."""

    code = "not_authenticated"


class NotAllowed(RequestError):
    """This API key does not have the scope that is needed."""

    code = "not_allowed"


class RateLimited(RequestError):
    """Too many requests in too short a time."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, *, retry_after: int, hint: str | None = None) -> None:
        self.retry_after = retry_after  # whole seconds
        super().__init__(message, hint=hint)


class KeysUnavailable(RequestError):
    """The keys that tokens are checked with cannot be had just now."""

    code = "keys_unavailable"


class AlreadyRunning(RequestError):
    """A run of this source is already going on or waiting."""

    code = "already_running"

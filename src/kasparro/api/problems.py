"""Errors as answers: the one table from error to HTTP status, and `application/problem+json` (RFC 9457).

What the table does not allow to be shown stays in the log, under the request id that the answer names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kasparro.api.exchange import Exchange, exchange_of
from kasparro.core.errors import (
    AlreadyRunning,
    DatabaseTimeout,
    DatabaseUnavailable,
    ExtraMissing,
    InvalidParameter,
    KasparroError,
    KeysUnavailable,
    LeaseHeld,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    RequestError,
    SchemaMismatch,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
LONGEST_TEXT: Final = 1000
"""Most characters of a text in an answer: part of it may come from the request."""

RETRY_AFTER: Final = {"Retry-After": "2"}
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="kasparro"'}


@dataclass(frozen=True, slots=True)
class Rule:
    """How an error is answered. `shown`: its message is meant for whoever asked; else they get the class's own sentence."""

    status: HTTPStatus
    shown: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


RULES: Final[Mapping[type[KasparroError], Rule]] = {
    NotFound: Rule(HTTPStatus.NOT_FOUND, shown=True),
    InvalidParameter: Rule(HTTPStatus.UNPROCESSABLE_ENTITY, shown=True),
    NotAuthenticated: Rule(HTTPStatus.UNAUTHORIZED, shown=True, headers=CHALLENGE),
    NotAllowed: Rule(HTTPStatus.FORBIDDEN, shown=True),
    AlreadyRunning: Rule(HTTPStatus.CONFLICT, shown=True),
    RateLimited: Rule(HTTPStatus.TOO_MANY_REQUESTS, shown=True),
    KeysUnavailable: Rule(HTTPStatus.SERVICE_UNAVAILABLE, shown=True, headers=RETRY_AFTER),
    RequestError: Rule(HTTPStatus.BAD_REQUEST, shown=True),
    ExtraMissing: Rule(HTTPStatus.NOT_IMPLEMENTED, shown=True),
    LeaseHeld: Rule(HTTPStatus.CONFLICT),
    DatabaseTimeout: Rule(HTTPStatus.GATEWAY_TIMEOUT, headers=RETRY_AFTER),
    DatabaseUnavailable: Rule(HTTPStatus.SERVICE_UNAVAILABLE, headers=RETRY_AFTER),
    SchemaMismatch: Rule(HTTPStatus.SERVICE_UNAVAILABLE),
    KasparroError: Rule(HTTPStatus.INTERNAL_SERVER_ERROR),
}
"""The nearest class of an error's ancestry decides."""

HTTP_CODES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.NOT_FOUND: "no_such_path",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.NOT_ACCEPTABLE: "not_acceptable",
    HTTPStatus.REQUEST_TIMEOUT: "request_timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "content_too_large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "uri_too_long",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers_too_large",
}
"""Codes of what is refused by its form, by us or by the web framework."""

OVERLOADED: Final = "overloaded"
"""The code of 503 when there are too many connections."""

INTERNAL_ERROR: Final = "Something went wrong on the server; its log has the reason under this request id"


def problem(
    exchange: Exchange,
    status: int,
    code: str,
    detail: str,
    *,
    hint: str | None = None,
    parameter: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as a response; in the exchange remains its code."""
    exchange.code = code
    optional = {"parameter": parameter, "hint": hint}
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _text(detail),
        "code": code,
        "request_id": exchange.request_id,
        **{name: _text(value) for name, value in optional.items() if value is not None},
    }
    return Response(msgspec.json.encode(content), status, headers, MEDIA_TYPE)


def problem_of(exchange: Exchange, error: KasparroError) -> Response:
    """The answer to *error*, by the table."""
    rule = rule_of(error)
    return problem(
        exchange,
        rule.status,
        error.code,
        error.message if rule.shown else (type(error).__doc__ or INTERNAL_ERROR).strip(),
        hint=error.hint if rule.shown else None,
        parameter=getattr(error, "parameter", None),
        headers=_headers(rule, error),
    )


def _headers(rule: Rule, error: KasparroError) -> Mapping[str, str]:
    match error:
        case RateLimited(retry_after=seconds):
            return {"Retry-After": str(seconds)}
        case _:
            return rule.headers


def rule_of(error: KasparroError) -> Rule:
    return next(RULES[ancestor] for ancestor in type(error).__mro__ if ancestor in RULES)


def internal_error(exchange: Exchange) -> Response:
    return problem(exchange, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", INTERNAL_ERROR)


def add_handlers(app: FastAPI) -> None:
    """Answer every expected error of *app* by this module; what is unexpected is left to `middleware`."""
    app.exception_handler(KasparroError)(on_error)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid_request)


async def on_error(request: Request, error: KasparroError) -> Response:
    return not_served(exchange_of(request.scope), error)


def not_served(exchange: Exchange, error: KasparroError) -> Response:
    """The answer to an error that ended a request; logged where it is the server's."""
    if rule_of(error).status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request.not_served", code=error.code, error=str(error), exc_info=_unforeseen(error))
    return problem_of(exchange, error)


def _unforeseen(error: KasparroError) -> KasparroError | None:
    """A busy or absent database, or a library that is not installed, needs no traceback."""
    return None if isinstance(error, DatabaseUnavailable | SchemaMismatch | ExtraMissing) else error


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    code = HTTP_CODES.get(error.status_code, "request")
    hint = "GET /openapi.json lists what there is" if error.status_code == HTTPStatus.NOT_FOUND else None
    return problem(
        exchange_of(request.scope),
        error.status_code,
        code,
        DETAILS.get(error.status_code, error.detail),
        hint=hint,
        headers=_with_all_methods(request, error.headers),
    )


def _with_all_methods(request: Request, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """`Allow` names the methods of every route of the path, and HEAD wherever there is GET: no route knows of it (`head`)."""
    if headers is None or "Allow" not in headers:
        return headers
    path = request.scope["route"].path
    routes = iter_route_contexts(request.app.routes)
    allowed = {method for route in routes if route.path == path for method in route.methods or ()}
    allowed |= {"HEAD"} if "GET" in allowed else set()
    return {**headers, "Allow": ", ".join(sorted(allowed))}


DETAILS: Final[Mapping[int, str]] = {
    HTTPStatus.NOT_FOUND: "There is nothing at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path does not know this method",
}


async def _on_invalid_request(request: Request, error: RequestValidationError) -> Response:
    faults = [(_parameter(fault), str(fault["msg"])) for fault in error.errors()]
    return problem(
        exchange_of(request.scope),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        InvalidParameter.code,
        "; ".join(f"{name}: {message}" for name, message in faults),
        parameter=faults[0][0],
    )


def _parameter(fault: Mapping[str, Any]) -> str:
    """The name of what is at fault: `("query", "limit")` is `limit`."""
    return ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])


def _text(text: str) -> str:
    """Text that JSON in UTF-8 can hold, and not endless."""
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace").decode("utf-8")

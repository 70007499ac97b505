"""The description of the API: what FastAPI derives from the routes, and what it cannot know.

That is: problems are `application/problem+json`, and any request may meet some; which routes take a key; headers; examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from kasparro.api.access import OPEN_PATHS
from kasparro.api.examples import ANSWERS, PARAMETERS, REQUEST_ID, UNHEALTHY
from kasparro.api.problems import HTTP_CODES, MEDIA_TYPE, OVERLOADED
from kasparro.schemas.data import Problem

TAGS: Final = [
    {"name": "data", "description": "The unified dataset: what all sources have come to."},
    {
        "name": "operation",
        "description": "How ingestion goes: sources, runs, checkpoints, totals; and asking for runs.",
    },
    {
        "name": "health",
        "description": "Whether it serves: for load balancers and orchestrators. Takes no key.",
    },
    {"name": "service", "description": "The service itself: where things are, and its metrics."},
]
SECURITY_SCHEMES: Final = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key from `API_KEYS` or from `kasparro keys create`.",
    },
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Such a key, or a JSON Web Token where `JWT_JWKS` is set.",
    },
}
SERVER: Final = (HTTPStatus.INTERNAL_SERVER_ERROR,)
DATABASE: Final = (*SERVER, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
EVERYWHERE: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""What any request may be answered with, before or after it has found its route."""

CODES: Final[Mapping[int, tuple[str, str]]] = {
    HTTPStatus.BAD_REQUEST: (HTTP_CODES[400], "a request has exactly one Host"),
    HTTPStatus.UNAUTHORIZED: ("not_authenticated", "A valid API key is needed."),
    HTTPStatus.FORBIDDEN: ("not_allowed", "this API key does not have the scope 'admin'"),
    HTTPStatus.NOT_FOUND: ("not_found", "there is no such thing"),
    HTTPStatus.REQUEST_TIMEOUT: (HTTP_CODES[408], "The request did not arrive in time"),
    HTTPStatus.CONFLICT: (
        "already_running",
        "source 'airports' is already queued as run run_airports_4157bc25",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (HTTP_CODES[413], "This path takes no body"),
    HTTPStatus.REQUEST_URI_TOO_LONG: (HTTP_CODES[414], "path and query may have 32768 bytes"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (HTTP_CODES[415], "This path takes no body, or an empty JSON object"),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("invalid_parameter", "there is no parameter 'limt' here"),
    HTTPStatus.TOO_MANY_REQUESTS: ("rate_limited", "this key may ask 6000 times a minute"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        HTTP_CODES[431],
        "there may be 100 headers with 32768 bytes",
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("internal_error", "Something went wrong on the server"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("database_unavailable", "The database cannot be reached."),
    HTTPStatus.GATEWAY_TIMEOUT: ("database_timeout", "The database did not answer in time."),
}
"""For each status a code and a text that come with it."""

OTHER: Final = ("request", "The request cannot be answered as asked.")

TEXT: Final = {"type": "string"}
HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "X-Request-ID": {"description": "Names the request in the server's log", "schema": TEXT},
    "RateLimit": {
        "description": 'What is left, and for how many seconds: `"key";r=5999;t=1`',
        "schema": TEXT,
    },
    "RateLimit-Policy": {"description": 'The limit and its window: `"key";q=6000;w=60`', "schema": TEXT},
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "How to show a key", "schema": TEXT},
}
WITH_RETRY: Final = {"408": (), "429": ("Retry-After",), "503": ("Retry-After",), "504": ("Retry-After",)}
WITH_MORE: Final = {**WITH_RETRY, "401": ("WWW-Authenticate",)}


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: these problems, and those that every route may answer with."""
    return {
        int(s): {"model": Problem, "description": HTTPStatus(s).phrase}
        for s in sorted({*statuses, *EVERYWHERE})
    }


class DescribedApi(FastAPI):
    """FastAPI with the description completed. `may_do_without` says of a method and a path whether a key may be left out."""

    may_do_without: Callable[[str, str], bool]

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            schema["components"]["securitySchemes"] = SECURITY_SCHEMES
            schema["components"]["headers"] = HEADERS
            for method, path, operation in _operations(schema):
                _complete(operation, is_open=path in OPEN_PATHS)
                if operation["security"] and self.may_do_without(method, path):
                    operation["security"] += [{}]
        return super().openapi()


def operation_id(route: APIRoute) -> str:
    """The name of the function: what generated clients call their methods."""
    return route.name


def routes_of(app: FastAPI) -> list[Any]:
    """Every route of *app* over HTTP, as it is served."""
    return [route for route in iter_route_contexts(app.routes) if route.methods]


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _complete(operation: dict[str, Any], *, is_open: bool) -> None:
    operation["security"] = [] if is_open else [{name: []} for name in SECURITY_SCHEMES]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in PARAMETERS:
            parameter["example"] = PARAMETERS[parameter["name"]]
    for status, response in operation["responses"].items():
        content = response.setdefault("content", {})
        if int(status) >= HTTPStatus.BAD_REQUEST:
            _complete_problem(int(status), content, is_open=is_open)
        else:
            _complete_answer(operation["operationId"], content)
        names = (
            "X-Request-ID",
            *(() if is_open else ("RateLimit", "RateLimit-Policy")),
            *WITH_MORE.get(status, ()),
        )
        refs = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        response["headers"] = {**response.get("headers", {}), **refs}


def _complete_problem(status: int, content: dict[str, Any], *, is_open: bool) -> None:
    code, detail = CODES.get(status, OTHER)
    if is_open and status == HTTPStatus.SERVICE_UNAVAILABLE:
        code, detail = OVERLOADED, "There are too many connections"
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    described = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    if described.endswith("/Problem"):
        content[MEDIA_TYPE] = content.pop("application/json")
    if described.endswith("/HealthStatus"):
        content["application/json"]["example"] = UNHEALTHY
        content[MEDIA_TYPE] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    content[MEDIA_TYPE]["example"] = example | {"code": code, "request_id": REQUEST_ID}


def _complete_answer(operation_id: str, content: dict[str, Any]) -> None:
    """What a route answers with is described by the route; an example is looked up by its operation."""
    for described in content.values():
        if operation_id in ANSWERS:
            described["example"] = ANSWERS[operation_id]

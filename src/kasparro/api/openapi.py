"""The description of the API: what FastAPI derives from the routes, and what it cannot know.

That is: problems are `application/problem+json`, and which routes take a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from kasparro.api.problems import MEDIA_TYPE
from kasparro.api.security import OPEN_PATHS
from kasparro.schemas.data import Problem

SECURITY_SCHEMES: Final = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}
SERVER: Final = (HTTPStatus.INTERNAL_SERVER_ERROR,)
DATABASE: Final = (*SERVER, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
KEY: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: these problems, and those that every route may answer with."""
    every = {*statuses, HTTPStatus.UNPROCESSABLE_ENTITY, *KEY}
    return {int(s): {"model": Problem, "description": HTTPStatus(s).phrase} for s in sorted(every)}


class DescribedApi(FastAPI):
    """FastAPI with the description completed."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            schema["components"]["securitySchemes"] = SECURITY_SCHEMES
            for path, operation in _operations(schema):
                _complete(operation, needs_key=path not in OPEN_PATHS)
        return super().openapi()


def operation_id(route: APIRoute) -> str:
    """The name of the function: what generated clients call their methods."""
    return route.name


def routes_of(app: FastAPI) -> list[Any]:
    """Every route of *app*, as it is served."""
    return list(iter_route_contexts(app.routes))


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for operation in item.values():
            yield path, operation


def _complete(operation: dict[str, Any], *, needs_key: bool) -> None:
    operation["security"] = [{name: []} for name in SECURITY_SCHEMES] if needs_key else []
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        described = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        if int(status) >= HTTPStatus.BAD_REQUEST and described.endswith("/Problem"):
            content[MEDIA_TYPE] = content.pop("application/json")

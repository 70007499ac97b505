"""What requests may say: the parameters that several routes share, and the refusal of everything else."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import Path, Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kasparro.core.errors import InvalidParameter

INT64_MAX: Final = 2**63 - 1
MOST_BODY: Final = 1024
"""Bytes. No route takes a body; an empty JSON object is let through for clients that always send one."""

SOURCE_PATTERN: Final = "^[a-z][a-z0-9_]{0,49}$"
RUN_ID_PATTERN: Final = "^[A-Za-z0-9._-]{1,80}$"


def _digits(value: object) -> object:
    """Only ASCII digits: Pydantic would take `1_0`, ` 10` and `10.0` as well."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,20}", value):
        raise ValueError("must be a whole number")
    return value


def _flag(value: object) -> object:
    """Pydantic would take `yes`, `1` and `T` as well."""
    if isinstance(value, str) and value not in {"true", "false"}:
        raise ValueError("must be true or false")
    return value


DIGITS: Final = BeforeValidator(_digits)
FLAG: Final = BeforeValidator(_flag, json_schema_input_type=Literal[True, False])
Limit = Annotated[int, Query(ge=1, le=100, description="Most items in the answer"), DIGITS]
Offset = Annotated[int, Query(ge=0, le=INT64_MAX, description="Items to leave out at the beginning"), DIGITS]
RecordId = Annotated[int, Path(ge=1, le=INT64_MAX, description="The dataset's own id of a record"), DIGITS]
SourceFilter = Annotated[
    str | None,
    Query(pattern=SOURCE_PATTERN, description="Only of this source; one that is unknown has nothing"),
]
SourcePath = Annotated[str, Path(pattern=SOURCE_PATTERN, description="Name of a declared source")]
RunIdPath = Annotated[str, Path(pattern=RUN_ID_PATTERN, description="Id of a run")]


class StrictRoute(APIRoute):
    """A route that refuses query parameters it does not know, and one given twice."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        taken = get_flat_params(self.dependant)
        known = [parameter.alias for parameter in taken if isinstance(parameter.field_info, params.Query)]
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                check_names([name for name, _ in request.query_params.multi_items()], known)
            return await handle(request)

        return checked


def check_names(given: list[str], known: list[str]) -> None:
    """Refuse a name in *given* that is not *known*, or that is there twice. Raises `InvalidParameter`."""
    for name, times in Counter(given).items():
        if name not in known:
            raise InvalidParameter(name, f"there is no parameter {name!r} here", hint=_nearest(name, known))
        if times > 1:
            raise InvalidParameter(
                name, f"the parameter {name!r} is given {times} times", hint="Give it once"
            )


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name[:100], known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known are: {', '.join(known)}" if known else "It takes none"


async def takes_no_body(request: Request) -> None:
    """The dependency of a route that takes no body: refuse one that says something, before it is read in full."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise HTTPException(413, "This path takes no body")
    if not body:
        return
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "This path takes no body, or an empty JSON object")
    if _json(body) != {}:
        raise InvalidParameter("body", "this path takes no body, or an empty JSON object")


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidParameter("body", "the body is not JSON") from error

"""The form of a request: its parameters out, of an address or of a JSON body. Raises `InvalidQuery` and `QueryRefused`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from kasparro.api.graphql.execution import Asked
from kasparro.core.errors import InvalidQuery, QueryRefused

MOST_BODY: Final = 128 * 1024
"""Bytes: a query and its variables."""
MOST_VALUES: Final = 2_000
"""Values in the variables of one request."""
DEEPEST: Final = 20
"""Objects and lists within each other there."""

DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
PARAMETERS: Final = ("query", "variables", "operationName", "extensions")


def read_json(text: bytes | str, what: str) -> Any:
    if len(text) > MOST_BODY:
        raise QueryRefused(f"{what} has at most {MOST_BODY} bytes")
    try:
        return DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ArithmeticError) as error:
        raise InvalidQuery(f"{what} is not JSON that can be read") from error


def asked_of_json(body: Any) -> Asked:
    """The parameters in a decoded body, or in the payload of a message. What else stands there is not looked at."""
    if isinstance(body, list):
        raise QueryRefused("one request asks one thing: batches are not answered")
    if not isinstance(body, dict):
        raise InvalidQuery('the body is not an object with a "query"')
    query, variables = body.get("query"), body.get("variables")
    operation, extensions = body.get("operationName"), body.get("extensions")
    if not isinstance(query, str) or not query.strip():
        raise InvalidQuery('"query" has to be the text of a query')
    if variables is not None and not isinstance(variables, dict):
        raise InvalidQuery('"variables" has to be an object')
    if operation is not None and not isinstance(operation, str):
        raise InvalidQuery('"operationName" has to be a text')
    if extensions is not None and not isinstance(extensions, dict):
        raise InvalidQuery('"extensions" has to be an object')
    _check_values(variables or {})
    return Asked(query, variables or {}, operation or None)


def asked_of_address(parameters: list[tuple[str, str]]) -> Asked:
    """The same, as they stand in an address: variables and extensions as JSON."""
    known = [(name, text) for name, text in parameters if name in PARAMETERS]
    body: dict[str, Any] = dict(known)
    if len(body) < len(known):
        raise InvalidQuery("a parameter is given twice")
    for name in ("variables", "extensions"):
        if name in body:
            body[name] = read_json(body[name], name) if body[name] else None
    return asked_of_json(body)


def _check_values(variables: Mapping[str, Any]) -> None:
    """Bound what has to be held against the schema, value by value."""
    level: list[Any] = [variables]
    count = 0
    for _ in range(DEEPEST):
        if not level:
            return
        count += len(level)
        if count > MOST_VALUES:
            break
        level = [inner for one in level for inner in _inner(one)]
    raise QueryRefused(f"variables have at most {MOST_VALUES} values, {DEEPEST} levels deep")


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()

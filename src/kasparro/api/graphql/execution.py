"""One operation: a request in, its result or its stream of results out, by the rules of every other route.

`transport` for HTTP and `websocket` call it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    subscribe,
)

from kasparro.api.exchange import Exchange
from kasparro.api.graphql.context import Context
from kasparro.api.graphql.document import RefusedByValidation, check_cost, prepared
from kasparro.api.graphql.schema import SCHEMA
from kasparro.api.problems import INTERNAL_ERROR, LONGEST_TEXT, rule_of
from kasparro.core.config import Introspection, Settings
from kasparro.core.errors import InvalidQuery, KasparroError, NotAllowed

log = structlog.get_logger(__name__)

INTERNAL: Final = "internal_error"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, whose form was checked."""

    query: str
    variables: Mapping[str, Any]
    operation: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that may be executed."""

    document: DocumentNode
    node: OperationDefinitionNode
    asked: Asked

    @property
    def subscribes(self) -> bool:
        return self.node.operation is OperationType.SUBSCRIPTION


@dataclass(frozen=True, slots=True)
class Answer:
    """A result as JSON has it, and the status it has where statuses are told."""

    content: dict[str, Any]
    status: HTTPStatus = HTTPStatus.OK


def admitted(asked: Asked, settings: Settings, exchange: Exchange) -> Operation:
    """The operation to execute. Raises `InvalidQuery`, `QueryRefused`, and `NotAllowed` when the schema is kept back."""
    limits = settings.graphql_limits
    found = prepared(asked.query, limits)
    node = get_operation_ast(found.document, asked.operation)
    if node is None:
        raise InvalidQuery(
            "there is no such operation in the query"
            if asked.operation is not None
            else "operationName has to say which operation of the query is meant"
        )
    if found.introspects:
        refuse_introspection(settings, exchange)
    check_cost(found.document, node, asked.variables, limits)
    return Operation(found.document, node, asked)


def refuse_introspection(settings: Settings, exchange: Exchange) -> None:
    """Raises `NotAllowed` when the schema is kept back from who asks."""
    match settings.graphql_introspection:
        case Introspection.ALL:
            return
        case Introspection.KEYS:
            told = exchange.caller.has_key or not settings.keys_are_needed
        case Introspection.NONE:
            told = False
    if not told:
        raise NotAllowed(
            "the schema is not told to who asks", hint="Send an API key, or read docs/graphql.md"
        )


async def answer(operation: Operation, context: Context) -> Answer:
    """The result of a query."""
    result = execute(
        SCHEMA,
        operation.document,
        context_value=context,
        variable_values=dict(operation.asked.variables),
        operation_name=operation.asked.operation,
    )
    return told(result if isinstance(result, ExecutionResult) else await result, context.exchange)


async def stream(operation: Operation, context: Context) -> AsyncIterator[ExecutionResult] | Answer:
    """The results of a subscription as they come, or why there will be none."""
    opened = subscribe(
        SCHEMA,
        operation.document,
        context_value=context,
        variable_values=dict(operation.asked.variables),
        operation_name=operation.asked.operation,
    )
    if not isinstance(opened, ExecutionResult | AsyncIterator):
        opened = await opened
    return told(opened, context.exchange) if isinstance(opened, ExecutionResult) else opened


def told(result: ExecutionResult, exchange: Exchange) -> Answer:
    """*result* with its errors as we tell them."""
    if not result.errors:
        return Answer({"data": result.data})
    errors = [_told(error, exchange) for error in result.errors]
    exchange.code = errors[0][0]["extensions"]["code"]
    content = {"errors": [error for error, _ in errors]}
    if result.data is not None:
        return Answer({**content, "data": result.data})
    worst = max(status for _, status in errors)
    if worst >= HTTPStatus.INTERNAL_SERVER_ERROR or not any("path" in error for error, _ in errors):
        return Answer(content, worst)
    return Answer({**content, "data": None}, worst)


def refused(error: KasparroError, exchange: Exchange) -> Answer:
    """The answer to what is not even executed."""
    exchange.code = error.code
    rule = rule_of(error)
    if isinstance(error, RefusedByValidation):
        faults = [_entry(fault, fault.message, error.code, exchange) for fault in error.faults]
        return Answer({"errors": faults}, rule.status)
    return Answer({"errors": [_entry(GraphQLError(""), *_shown(error), exchange, error)]}, rule.status)


def _told(error: GraphQLError, exchange: Exchange) -> tuple[dict[str, Any], HTTPStatus]:
    original = error.original_error
    while isinstance(original, GraphQLError):
        error, original = original, original.original_error
    if isinstance(original, KasparroError):
        status = rule_of(original).status
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request.not_served", code=original.code, error=str(original))
        return _entry(error, *_shown(original), exchange, original), status
    if original is None:
        return _entry(error, error.message, InvalidQuery.code, exchange), HTTPStatus.BAD_REQUEST
    log.error("request.failed", exc_info=original)
    return _entry(error, INTERNAL_ERROR, INTERNAL, exchange), HTTPStatus.INTERNAL_SERVER_ERROR


def _shown(error: KasparroError) -> tuple[str, str]:
    message = error.message if rule_of(error).shown else (type(error).__doc__ or INTERNAL_ERROR).strip()
    return message, error.code


def _entry(
    error: GraphQLError, message: str, code: str, exchange: Exchange, cause: KasparroError | None = None
) -> dict[str, Any]:
    """An error as GraphQL writes it, with what our problems have as its extensions."""
    extensions = {"code": code, "request_id": exchange.request_id}
    if cause is not None and rule_of(cause).shown:
        more = {"parameter": getattr(cause, "parameter", None), "hint": cause.hint}
        extensions |= {name: _text(value) for name, value in more.items() if value}
    entry: dict[str, Any] = {"message": _text(message), "extensions": extensions}
    if error.locations:
        entry["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path is not None:
        entry["path"] = error.path
    return entry


def _text(text: str) -> str:
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace").decode("utf-8")

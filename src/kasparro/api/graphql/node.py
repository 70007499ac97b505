"""Global ids: `Record:42` in base64, what Relay's clients keep their objects by."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

import strawberry

from kasparro.core.errors import InvalidParameter

LONGEST: Final = 400


@strawberry.interface(description="Whatever has an id of its own; `node(id:)` finds it again.")
class Node:
    id: strawberry.ID = strawberry.field(description="Unlike any other's, whatever their types")


def identified(resolver: Callable[[Any], strawberry.ID]) -> Any:
    """The field `id` of a type, which *resolver* makes of what stands behind it."""

    def found(root: Any) -> strawberry.ID:
        return resolver(root)

    return strawberry.field(resolver=found, description="Unlike any other's, whatever their types")


def global_id(kind: str, key: object) -> strawberry.ID:
    return strawberry.ID(base64.b64encode(f"{kind}:{key}".encode()).decode())


def parse_global_id(parameter: str, text: str) -> tuple[str, str]:
    """The type and the key that a global id names. Raises `InvalidParameter`."""
    try:
        kind, colon, key = base64.b64decode(text[:LONGEST], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError, ValueError):
        kind = colon = key = ""
    if not (kind and colon and key) or "\0" in key:
        raise InvalidParameter(
            parameter, "is no id of this server", hint="Send one that an `id` field answered"
        )
    return kind, key

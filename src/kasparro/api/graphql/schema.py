"""The schema: made once, when the module is imported."""

from __future__ import annotations

from typing import Final

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from kasparro.api.graphql.entity_types import Entity
from kasparro.api.graphql.operation_types import Run, Source
from kasparro.api.graphql.record_types import Record
from kasparro.api.graphql.root import Query, Subscription
from kasparro.api.graphql.scalars import SCALARS

TYPED: Final = strawberry.Schema(
    query=Query,
    subscription=Subscription,
    types=[Entity, Record, Run, Source],
    config=StrawberryConfig(scalar_map=SCALARS),
)
SCHEMA: Final[GraphQLSchema] = TYPED._schema  # noqa: SLF001  # it is executed by graphql-core, within our own bounds


def sdl() -> str:
    """The schema in the schema definition language."""
    return TYPED.as_str() + "\n"

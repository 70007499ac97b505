"""How a source hands out its pages: `pagination`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from kasparro.core.declarations.auth import by_type
from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.declarations.expressions import Expression, ExpressionOrHeader, Text


class NoPagination(Declaration):
    """One request answers with everything."""

    type: Literal["none"] = Field("none", description="One request answers with everything.")


class PagePagination(Declaration):
    """Pages have numbers; an empty page, or one shorter than `size`, is the last."""

    type: Literal["page"] = Field("page", description="Pages have numbers.")
    param: Text = Field("page", description="The query parameter that carries the page number.")
    start: int = Field(1, ge=0, description="The number of the first page.")
    size_param: Text | None = Field(None, description="The query parameter that carries the page size.")
    size: int | None = Field(None, gt=0, description="Records to ask for in one page; needs `size_param`.")

    @model_validator(mode="after")
    def _size_has_a_name(self) -> PagePagination:
        if self.size is not None and self.size_param is None:
            refuse("needs size_param, the query parameter that carries it", at=("size",))
        if self.size_param is not None and self.size is None:
            refuse("needs size, the number of records to ask for", at=("size_param",))
        if self.size_param == self.param:
            refuse("must not be the parameter that carries the page number", at=("size_param",))
        return self


class OffsetPagination(Declaration):
    """Pages are cut by position: skip so many, take so many."""

    type: Literal["offset"] = Field("offset", description="Pages are cut by position.")
    offset_param: Text = Field(
        "offset", description="The query parameter that says how many records to skip."
    )
    limit_param: Text = Field("limit", description="The query parameter that says how many records to take.")
    limit: int = Field(100, gt=0, description="Records to ask for in one page.")

    @model_validator(mode="after")
    def _two_parameters(self) -> OffsetPagination:
        if self.limit_param == self.offset_param:
            refuse("must differ from offset_param", at=("limit_param",))
        return self


class CursorPagination(Declaration):
    """Each answer carries a token that asks for the next page."""

    type: Literal["cursor"] = Field("cursor", description="Each answer carries a token for the next page.")
    param: Text = Field(description="The query parameter that carries the token.")
    next: ExpressionOrHeader = Field(
        description="Where the token stands: a JMESPath expression into the body, or `header:Name`."
    )


class LinkHeaderPagination(Declaration):
    """The next page is the `Link` header's `rel="next"` (RFC 8288)."""

    type: Literal["link_header"] = Field(
        "link_header", description='Follow the `Link` header\'s `rel="next"`.'
    )


class NextUrlPagination(Declaration):
    """The body carries the address of the next page."""

    type: Literal["next_url"] = Field(
        "next_url", description="The body carries the address of the next page."
    )
    path: Expression = Field(description="Where that address stands: a JMESPath expression into the body.")


class AutoPagination(Declaration):
    """The first answer shows which of the others it is."""

    type: Literal["auto"] = Field("auto", description="Find out from the first answer.")


Pagination = Annotated[
    NoPagination
    | PagePagination
    | OffsetPagination
    | CursorPagination
    | LinkHeaderPagination
    | NextUrlPagination
    | AutoPagination,
    Field(discriminator="type"),
]
_Short = Literal["none", "page", "offset", "link_header", "auto"]
PaginationField = Annotated[Pagination, BeforeValidator(by_type, json_schema_input_type=Pagination | _Short)]

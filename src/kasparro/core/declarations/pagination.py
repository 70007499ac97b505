"""How a source hands out its pages: `pagination`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from kasparro.core.declarations.auth import by_type
from kasparro.core.declarations.base import Declaration, Refusal, refuse, refuse_all
from kasparro.core.declarations.expressions import (
    Expression,
    ExpressionOrHeader,
    Text,
    is_field_path,
    is_header_name,
)

Where = Literal["query", "body", "header"]
"""The part of a request in which the page is named."""

_PARTS: Final = {
    "query": "the query parameter",
    "body": "the place in the body",
    "header": "the header",
}


class NoPagination(Declaration):
    """One request answers with everything."""

    type: Literal["none"] = Field("none", description="One request answers with everything.")


class Paged(Declaration):
    """What all ways of handing out several pages have in common."""

    max_pages: int | None = Field(
        None, gt=0, description="The most pages of one fetch; left out: all of them."
    )


class Asked(Paged):
    """Pages that are asked for by values in a request."""

    in_: Where = Field(
        "query",
        alias="in",
        description="Where they go: `query`, `header`, or `body`, where their names are dotted paths.",
    )
    has_more: Expression | None = Field(
        None, description="JMESPath into the body to what is true as long as there is a next page."
    )

    @abstractmethod
    def names(self) -> dict[str, str]:
        """The names under which something is sent, by the key that declares each."""

    @model_validator(mode="after")
    def _names_fit_their_place(self) -> Asked:
        for key, name in self.names().items():
            if self.in_ == "header" and not is_header_name(name):
                refuse("is not a header name, which in: header needs", at=(key,))
            if self.in_ == "body" and not is_field_path(name):
                refuse("must be a path such as variables.page, which in: body needs", at=(key,))
        refuse_all(list(_clashes(self.names(), self.in_)))
        return self


def _clashes(names: dict[str, str], where: Where) -> list[Refusal]:
    """Two values under one name, or one inside the other."""
    spelled = {key: name.lower() if where == "header" else name for key, name in names.items()}
    nested = "." if where == "body" else "\0"
    return [
        Refusal(f"must differ from {other}, {_PARTS[where]} of another value", (key,))
        for position, (key, name) in enumerate(spelled.items())
        for other, taken in list(spelled.items())[:position]
        if name == taken or name.startswith(taken + nested) or taken.startswith(name + nested)
    ]


class PagePagination(Asked):
    """Pages have numbers; an empty page, or one shorter than `size`, is the last."""

    type: Literal["page"] = Field("page", description="Pages have numbers.")
    param: Text = Field("page", description="The name of the page number in a request.")
    start: int = Field(1, ge=0, description="The number of the first page.")
    size_param: Text | None = Field(None, description="The name of the page size in a request.")
    size: int | None = Field(None, gt=0, description="Records to ask for in one page; needs `size_param`.")
    total: Expression | None = Field(
        None, description="JMESPath into the body to the number of records; the fetch ends with them."
    )

    def names(self) -> dict[str, str]:
        sized = {} if self.size_param is None else {"size_param": self.size_param}
        return {"param": self.param, **sized}

    @model_validator(mode="after")
    def _size_has_a_name(self) -> PagePagination:
        if self.size is not None and self.size_param is None:
            refuse("needs size_param, the query parameter that carries it", at=("size",))
        if self.size_param is not None and self.size is None:
            refuse("needs size, the number of records to ask for", at=("size_param",))
        return self


class OffsetPagination(Asked):
    """Pages are cut by position: skip so many, take so many."""

    type: Literal["offset"] = Field("offset", description="Pages are cut by position.")
    offset_param: Text = Field("offset", description="The name of the number of records to skip.")
    limit_param: Text = Field("limit", description="The name of the number of records to take.")
    limit: int = Field(100, gt=0, description="Records to ask for in one page.")
    total: Expression | None = Field(
        None, description="JMESPath into the body to the number of records; the fetch ends with them."
    )

    def names(self) -> dict[str, str]:
        return {"offset_param": self.offset_param, "limit_param": self.limit_param}


class CursorPagination(Asked):
    """Each answer carries a token that asks for the next page."""

    type: Literal["cursor"] = Field("cursor", description="Each answer carries a token for the next page.")
    param: Text = Field(description="The name of the token in a request.")
    next: ExpressionOrHeader = Field(
        description="Where the token stands: a JMESPath expression into the body, or `header:Name`."
    )

    def names(self) -> dict[str, str]:
        return {"param": self.param}


class LinkHeaderPagination(Paged):
    """The next page is the `Link` header's `rel="next"` (RFC 8288)."""

    type: Literal["link_header"] = Field(
        "link_header", description='Follow the `Link` header\'s `rel="next"`.'
    )


class NextUrlPagination(Paged):
    """The body carries the address of the next page."""

    type: Literal["next_url"] = Field(
        "next_url", description="The body carries the address of the next page."
    )
    path: Expression = Field(description="Where that address stands: a JMESPath expression into the body.")


class AutoPagination(Paged):
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


def query_names(pagination: Pagination) -> tuple[str, ...]:
    """The query parameters it sets."""
    return _names(pagination, "query")


def check_paging(pagination: Pagination, method: str, declared: Mapping[str, Iterable[str]]) -> None:
    """Refuse a pagination that does not fit the *method*, or sets what is *declared* under `params` or `headers` already."""
    if method != "POST" and _names(pagination, "body"):
        refuse("needs method: POST", at=("pagination", "in"))
    taken = {"params": set(query_names(pagination)), "headers": set(_names(pagination, "header"))}
    refuse_all(
        [
            Refusal("is set by pagination as well", (key, name), "Leave one of the two out")
            for key, names in declared.items()
            for name in names
            if (name.lower() if key == "headers" else name) in taken[key]
        ]
    )


def _names(pagination: Pagination, where: Where) -> tuple[str, ...]:
    if not isinstance(pagination, Asked) or pagination.in_ != where:
        return ()
    return tuple(name.lower() if where == "header" else name for name in pagination.names().values())

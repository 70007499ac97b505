"""Credentials that are sent as declared: nothing, a bearer token, a key, a user name and password. Part of `auth`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.declarations.expressions import NOT_A_HEADER_NAME, Text, is_header_name


class NoAuth(Declaration):
    """No credential is sent."""

    type: Literal["none"] = Field("none", description="No credential is sent.")


class BearerAuth(Declaration):
    """`Authorization: Bearer <token>` (RFC 6750)."""

    type: Literal["bearer"] = Field("bearer", description="Send `Authorization: Bearer <token>`.")
    token: SecretStr = Field(min_length=1, description="The token; take it from the environment: `${NAME}`.")


class ApiKeyAuth(Declaration):
    """A key in a header or a query parameter of the API's choosing."""

    type: Literal["api_key"] = Field("api_key", description="Send a key in a header or a query parameter.")
    in_: Literal["header", "query"] = Field("header", alias="in", description="Where the key goes.")
    name: Text = Field(description="The header's or query parameter's name, such as `X-API-Key`.")
    prefix: str | None = Field(
        None, max_length=100, description="Text before the key, with its blank: `prefix: 'Token '`."
    )
    value: SecretStr = Field(min_length=1, description="The key; take it from the environment: `${NAME}`.")

    @model_validator(mode="after")
    def _name_fits_its_place(self) -> ApiKeyAuth:
        if self.in_ == "header" and not is_header_name(self.name):
            refuse(NOT_A_HEADER_NAME, at=("name",))
        return self


class BasicAuth(Declaration):
    """User name and password (RFC 7617)."""

    type: Literal["basic"] = Field("basic", description="Send a user name and a password.")
    username: str = Field(
        repr=False, max_length=1_000, description="The user name; it cannot contain a colon."
    )
    password: SecretStr = Field(
        description="The password, which may be empty; take it from the environment: `${NAME}`."
    )

    @model_validator(mode="after")
    def _no_colon(self) -> BasicAuth:
        if ":" in self.username:
            refuse("cannot contain a colon (RFC 7617)", at=("username",))
        return self

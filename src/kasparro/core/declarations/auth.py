"""How a source is authenticated: `auth`. A credential is a `SecretStr` from here on; only the HTTP client opens it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kasparro.core.declarations.static_auth import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth
from kasparro.core.declarations.token_auth import (
    LoginAuth,
    OAuth2ClientCredentials,
    OAuth2JwtBearer,
    OAuth2RefreshToken,
    SignedJwt,
)


def by_type(value: Any) -> Any:
    """Read the short form, a bare type name, as the block it stands for."""
    return {"type": value} if isinstance(value, str) else value


StaticAuth = NoAuth | BearerAuth | ApiKeyAuth | BasicAuth
TokenAuth = OAuth2ClientCredentials | OAuth2RefreshToken | OAuth2JwtBearer | SignedJwt | LoginAuth
Auth = Annotated[StaticAuth | TokenAuth, Field(discriminator="type")]
AuthField = Annotated[Auth, BeforeValidator(by_type, json_schema_input_type=Auth | Literal["none"])]

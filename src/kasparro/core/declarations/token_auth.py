"""Ways of authentication that fetch or make a token first: OAuth 2.0 grants, signed JWTs, a login. Part of `auth`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, JsonValue, SecretStr, model_validator

from kasparro.core.declarations.base import Declaration, Refusal, Scalar, refuse, refuse_all
from kasparro.core.declarations.expressions import NOT_A_HEADER_NAME, Expression, Text, is_header_name
from kasparro.core.declarations.headers import Headers
from kasparro.core.declarations.static_auth import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth
from kasparro.core.declarations.urls import HttpUrl, is_credential_name
from kasparro.core.durations import Duration
from kasparro.core.redaction import is_secret_name

Algorithm = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
_TELLING: Final = frozenset({"pass", "pwd", "pin", "otp", "code", "key", "apikey", "auth", "signature"})


def seal(value: Any, name: str = "") -> Any:
    """*value* with every text whose key says that it is secret made a `SecretStr`, so that it is hidden everywhere."""
    match value:
        case dict():
            return {key: seal(inner, str(key)) for key, inner in value.items()}
        case list():
            return [seal(inner, name) for inner in value]
        case str() if is_secret_name(name) or is_credential_name(name) or name.lower() in _TELLING:
            return SecretStr(value)
        case _:
            return value


def _sealed_scalars(value: Any) -> Any:
    if not isinstance(value, dict):
        refuse("must be a mapping of keys to values")
    refuse_all(
        [
            Refusal("must be text, a number, true or false", (name,))
            for name, inner in value.items()
            if not isinstance(inner, str | int | float | bool | SecretStr)
        ]
    )
    return seal(value)


SealedJson = Annotated[Any, BeforeValidator(seal, json_schema_input_type=JsonValue)]
SealedScalars = Annotated[
    dict[Text, Any], BeforeValidator(_sealed_scalars, json_schema_input_type=dict[Text, Scalar])
]


class TokenEndpoint(Declaration):
    """Where a token is asked for, and by whom."""

    token_url: HttpUrl = Field(description="Where tokens are given out.")
    scope: Text | None = Field(None, description="The scopes asked for, separated by blanks.")
    client_auth: Literal["basic", "body"] = Field(
        "basic",
        description="How id and secret of the client are sent: as Basic authentication, or in the body.",
    )
    params: SealedScalars = Field(
        default_factory=dict,
        repr=False,
        description="What else the provider wants in the body, such as `audience` or `resource`.",
    )

    @model_validator(mode="after")
    def _params_of_their_own(self) -> TokenEndpoint:
        for name in self.params:
            if name in {"grant_type", "assertion", "refresh_token", "scope", "client_id", "client_secret"}:
                refuse("is set by the grant itself", at=("params", name))
        return self


class OAuth2ClientCredentials(TokenEndpoint):
    """The client credentials grant (RFC 6749, section 4.4)."""

    type: Literal["oauth2_client_credentials"] = Field(
        "oauth2_client_credentials", description="Fetch a token first, with the client credentials grant."
    )
    client_id: Text = Field(description="The client's id.")
    client_secret: SecretStr = Field(
        min_length=1, description="The client's secret; take it from the environment: `${NAME}`."
    )


class OAuth2RefreshToken(TokenEndpoint):
    """The refresh token grant (RFC 6749, section 6): somebody consented once, and this goes on from there."""

    type: Literal["oauth2_refresh_token"] = Field(
        "oauth2_refresh_token", description="Fetch a token first, with a refresh token."
    )
    client_id: Text = Field(description="The client's id.")
    client_secret: SecretStr | None = Field(
        None, min_length=1, description="The client's secret; left out for a public client."
    )
    refresh_token: SecretStr = Field(
        min_length=1, description="The refresh token to begin with; take it from the environment: `${NAME}`."
    )
    refresh_token_file: Text | None = Field(
        None,
        description="A file, written and read by Kasparro alone, that keeps the newest refresh token where the "
        "provider gives a new one each time.",
    )


class Signing(Declaration):
    """A JSON Web Token (RFC 7519) and the key it is signed with."""

    algorithm: Algorithm = Field("RS256", description="How it is signed, such as RS256, ES256 or HS256.")
    key: SecretStr | None = Field(
        None, min_length=1, description="The private key (PEM), or the shared secret of HS256 and the like."
    )
    key_file: Text | None = Field(None, description="A file with the private key, instead of `key`.")
    key_id: Text | None = Field(None, description="The key's id, the header `kid`.")
    issuer: Text | None = Field(None, description="Who signs, the claim `iss`.")
    subject: Text | None = Field(None, description="For whom, the claim `sub`.")
    audience: Text | None = Field(None, description="Who is to read it, the claim `aud`.")
    claims: dict[Text, JsonValue] = Field(
        default_factory=dict, repr=False, description="Claims beyond these, such as `scope`."
    )
    lifetime: Duration = Field(
        timedelta(minutes=5),
        ge=timedelta(seconds=10),
        le=timedelta(days=1),
        description="How long one is valid; a new one is signed before that.",
    )

    @model_validator(mode="after")
    def _one_key(self) -> Signing:
        if (self.key is None) == (self.key_file is None):
            refuse("needs either key or key_file")
        for name in ("exp", "iat", "iss", "sub", "aud", "jti"):
            if name in self.claims:
                refuse("has a key of its own or is set by itself", at=("claims", name))
        return self


class SignedJwt(Signing):
    """A JWT that is signed here and sent as the token itself, as GitHub Apps and Apple's APIs want it."""

    type: Literal["jwt"] = Field("jwt", description="Sign a JWT and send it as the token.")
    prefix: str = Field("Bearer ", max_length=100, description="Text before it, with its blank.")


class OAuth2JwtBearer(Signing, TokenEndpoint):
    """The JWT bearer grant (RFC 7523): a signed assertion is exchanged for a token."""

    type: Literal["oauth2_jwt_bearer"] = Field(
        "oauth2_jwt_bearer", description="Fetch a token first, with a signed assertion."
    )
    client_id: Text | None = Field(None, description="The client's id, where the provider wants one.")
    client_secret: SecretStr | None = Field(
        None, min_length=1, description="The client's secret, where the provider wants one."
    )

    @model_validator(mode="after")
    def _whole_client(self) -> OAuth2JwtBearer:
        if self.client_secret is not None and self.client_id is None:
            refuse("belongs to a client_id", at=("client_secret",))
        return self


LoginCredential = Annotated[
    NoAuth | BearerAuth | ApiKeyAuth | BasicAuth | SignedJwt, Field(discriminator="type")
]


class LoginAuth(Declaration):
    """A request that answers with a token, or sets a cookie, and how that is sent from then on."""

    type: Literal["login"] = Field("login", description="Log in first, with a request of its own.")
    url: HttpUrl = Field(description="Where to log in.")
    method: Literal["POST", "PUT", "GET"] = Field("POST", description="The HTTP method of the login.")
    headers: Headers = Field(default_factory=dict, repr=False, description="Headers of the login.")
    body: SealedJson = Field(None, repr=False, description="What the login sends, as JSON.")
    form: SealedScalars = Field(
        default_factory=dict, repr=False, description="What the login sends as a form, instead of `body`."
    )
    auth: LoginCredential = Field(
        default_factory=NoAuth, description="How the login itself is authenticated, apart from what it sends."
    )
    token_path: Expression | None = Field(
        None, description="JMESPath to the token in the answer, such as `data.token`."
    )
    cookie: Text | None = Field(None, description="The cookie that the answer sets, instead of a token.")
    in_: Literal["header", "query"] = Field("header", alias="in", description="Where the token goes.")
    name: Text = Field("Authorization", description="The header's or query parameter's name.")
    prefix: str | None = Field(
        None, max_length=100, description="Text before the token; for `Authorization` it is `Bearer `."
    )
    expires_path: Expression | None = Field(
        None, description="JMESPath to when it ends: seconds from now, a second of the epoch, or a time."
    )
    lifetime: Duration | None = Field(
        None, ge=timedelta(seconds=10), description="How long it is valid, where the answer does not say."
    )

    @model_validator(mode="after")
    def _consistent(self) -> LoginAuth:
        if (self.token_path is None) == (self.cookie is None):
            refuse("needs either token_path or cookie")
        if self.cookie is not None and self.model_fields_set & {"in_", "name", "prefix"}:
            refuse("is sent as a cookie: leave in, name and prefix out", at=("cookie",))
        if self.cookie is not None and not is_header_name(self.cookie):
            refuse("is not a cookie's name", at=("cookie",))
        if self.in_ == "header" and not is_header_name(self.name):
            refuse(NOT_A_HEADER_NAME, at=("name",))
        if self.in_ == "query" and "name" not in self.model_fields_set:
            refuse("needs the name of the query parameter", at=("name",))
        if self.body is not None and self.form:
            refuse("cannot be sent together with body", at=("form",))
        if self.method == "GET" and (self.body is not None or self.form):
            refuse("sends nothing: leave body and form out, or use POST", at=("method",))
        return self

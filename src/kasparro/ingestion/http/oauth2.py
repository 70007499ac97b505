"""OAuth 2.0 grants without a person: client credentials, refresh token, JWT bearer. Declared in, requests and tokens out."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from kasparro.core.errors import UnexpectedContent
from kasparro.core.etl_config import (
    OAuth2ClientCredentials,
    OAuth2JwtBearer,
    OAuth2RefreshToken,
)
from kasparro.ingestion.http.credentials import Credentials, received_header
from kasparro.ingestion.http.origin import parse_url
from kasparro.ingestion.http.refresh_tokens import RefreshTokens
from kasparro.ingestion.http.signing import Signer
from kasparro.ingestion.http.token_request import Asking, TokenRequest
from kasparro.ingestion.http.tokens import Token

_ENDPOINT: Final = "the token endpoint"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LONGEST: Final = timedelta(days=3650)
_POLL: Final = 0.1
"""How often is looked whether another process has done with the refresh token, in seconds."""

Endpoint = OAuth2ClientCredentials | OAuth2RefreshToken | OAuth2JwtBearer


@dataclass(frozen=True, slots=True)
class ClientCredentialsGrant:
    """RFC 6749, section 4.4."""

    declared: OAuth2ClientCredentials

    @property
    def sent(self) -> str:
        return _sent(self.declared.type)

    @property
    def secrets(self) -> tuple[str, ...]:
        return _secrets(self.declared)

    async def token(self, asking: Asking) -> Token:
        """A token for the client itself."""
        return await _exchange(asking, self.declared, {"grant_type": "client_credentials"})


@dataclass(frozen=True, slots=True)
class RefreshTokenGrant:
    """RFC 6749, section 6. The token that is used may be replaced by the one that comes, so only one process uses it at once."""

    declared: OAuth2RefreshToken
    refresh_tokens: RefreshTokens

    @property
    def sent(self) -> str:
        return _sent(self.declared.type)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.declared.refresh_token.get_secret_value(), *_secrets(self.declared))

    async def token(self, asking: Asking) -> Token:
        """A token for whoever consented. A new refresh token is kept before the other one is used."""
        # ASYNC110: what another process does is no event of this one
        while (refresh_token := self.refresh_tokens.acquire()) is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
        try:
            form = {"grant_type": "refresh_token", "refresh_token": asking.learn(refresh_token)}
            started = asking.now()
            found = await _ask(asking, self.declared, form)
            newest = found.get("refresh_token")
            if isinstance(newest, str) and newest and newest != refresh_token:
                self.refresh_tokens.replace(asking.learn(newest))
            return _token_in(asking, found, self.declared, started)
        finally:
            self.refresh_tokens.release()


@dataclass(frozen=True, slots=True)
class JwtBearerGrant:
    """RFC 7523, section 2.1."""

    declared: OAuth2JwtBearer
    signer: Signer = field(repr=False)

    @property
    def sent(self) -> str:
        return _sent(self.declared.type)

    @property
    def secrets(self) -> tuple[str, ...]:
        return _secrets(self.declared)

    async def token(self, asking: Asking) -> Token:
        """A token for the subject of an assertion that is signed for this very request."""
        assertion, _ = self.signer.sign(asking.now(), once=True)
        form = {"grant_type": _JWT_BEARER, "assertion": asking.learn(assertion)}
        return await _exchange(asking, self.declared, form)


async def _exchange(asking: Asking, declared: Endpoint, form: Mapping[str, str]) -> Token:
    started = asking.now()
    return _token_in(asking, await _ask(asking, declared, form), declared, started)


async def _ask(asking: Asking, declared: Endpoint, form: Mapping[str, str]) -> dict[str, Any]:
    """The members of a good answer of the token endpoint."""
    name, secret = declared.client_id, declared.client_secret
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    fields = {**form, **{name: opened(value) for name, value in declared.params.items()}}
    if declared.scope is not None:
        fields["scope"] = declared.scope
    if name is not None and secret is not None and declared.client_auth == "basic":
        headers["Authorization"] = f"Basic {_packed(name, secret)}"
    elif name is not None:
        fields["client_id"] = name
        fields |= {"client_secret": secret.get_secret_value()} if secret else {}
    request = TokenRequest(
        _ENDPOINT, parse_url(declared.token_url), headers=headers, body=urlencode(fields).encode()
    )
    found = (await asking.ask(request)).members(_ENDPOINT)
    if not isinstance(found, dict):
        raise UnexpectedContent(f"{_ENDPOINT} did not answer with a JSON object", place=declared.token_url)
    return found


def _token_in(asking: Asking, found: Mapping[str, Any], declared: Endpoint, started: datetime) -> Token:
    """The bearer token among the members of an answer (RFC 6749, section 5.1) to a request that was *started* then."""
    text, sort = found.get("access_token"), found.get("token_type", "Bearer")
    if not isinstance(text, str) or not text:
        named = ", ".join(sorted(map(str, found)))[:100] or "none"
        raise UnexpectedContent(f"{_ENDPOINT} answered without an access_token; its members are {named}")
    if not isinstance(sort, str) or sort.lower() != "bearer":
        raise UnexpectedContent(
            f"{_ENDPOINT} gave a token that is not a bearer token, which is not supported"
        )
    return bearer_token(
        asking.learn(text), _sent(declared.type), started, lifetime_of(found.get("expires_in"))
    )


def bearer_token(
    text: str, sent: str, started: datetime, lifetime: timedelta | None, prefix: str = "Bearer "
) -> Token:
    """*text* as a token to be sent in the header `Authorization`."""
    headers = received_header("Authorization", f"{prefix}{text}", "the token")
    return Token(
        Credentials(sent, headers=headers, secrets=(text,)),
        started,
        None if lifetime is None else started + lifetime,
    )


def lifetime_of(value: Any) -> timedelta | None:
    """Seconds as a number or as text; None for what is neither, which nobody is refused a token for."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) and value is not True else 0.0
    except ValueError:
        return None
    return min(timedelta(seconds=min(seconds, _LONGEST.total_seconds())), _LONGEST) if seconds > 0 else None


def _sent(kind: str) -> str:
    return f"a token that had been asked for was sent (auth: {kind})"


def _packed(name: str, secret: SecretStr) -> str:
    """Name and secret as Basic authentication has them: form-encoded first (RFC 6749, section 2.3.1)."""
    pair = f"{quote(name, safe='')}:{quote(secret.get_secret_value(), safe='')}"
    return base64.b64encode(pair.encode()).decode()


def _secrets(declared: Endpoint) -> tuple[str, ...]:
    """What is sent to the token endpoint and must not be shown."""
    sealed = [value.get_secret_value() for value in declared.params.values() if isinstance(value, SecretStr)]
    if declared.client_id is None or declared.client_secret is None:
        return tuple(sealed)
    packed = _packed(declared.client_id, declared.client_secret)
    return (declared.client_secret.get_secret_value(), packed, *sealed)


def opened(value: Any) -> str:
    """A declared scalar, or one that was sealed, as it is sent."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)

"""Ways to have a token: the declared one in, what asks for it out. `access` makes them, `tokens` says when they are used."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, assert_never

from kasparro.core.etl_config import (
    LoginAuth,
    OAuth2ClientCredentials,
    OAuth2JwtBearer,
    OAuth2RefreshToken,
    SignedJwt,
    TokenAuth,
)
from kasparro.ingestion.http.credentials import Credentials, credentials_of
from kasparro.ingestion.http.login import LoginGrant
from kasparro.ingestion.http.oauth2 import (
    ClientCredentialsGrant,
    JwtBearerGrant,
    RefreshTokenGrant,
    bearer_token,
)
from kasparro.ingestion.http.refresh_tokens import InFile, InMemory, RefreshTokens, Rotated
from kasparro.ingestion.http.signing import Signer, signer_of
from kasparro.ingestion.http.token_request import Asking
from kasparro.ingestion.http.tokens import Token


class Grant(Protocol):
    """One way to have a token. `sent` says what is sent with it, `secrets` what is declared for it."""

    @property
    def sent(self) -> str: ...

    @property
    def secrets(self) -> tuple[str, ...]: ...

    async def token(self, asking: Asking) -> Token:
        """Ask for one, once. Raises the `SourceError` family."""
        ...


@dataclass(frozen=True, slots=True)
class SignedJwtGrant:
    """The signed text is the token: nobody has to be asked."""

    declared: SignedJwt
    signer: Signer = field(repr=False)

    @property
    def sent(self) -> str:
        return "a JWT that was signed here was sent (auth: jwt)"

    @property
    def secrets(self) -> tuple[str, ...]:
        return ()

    async def token(self, asking: Asking) -> Token:
        now = asking.now()
        text, expires = self.signer.sign(now)
        return bearer_token(asking.learn(text), self.sent, now, expires - now, self.declared.prefix)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a declaration does not say by itself: whose it is, where its files are, what time it is, what came before."""

    source: str
    folder: Path
    now: datetime
    rotated: Rotated


def grant_of(auth: TokenAuth, around: Surroundings) -> Grant:
    """Read keys and files. Raises `ConfigurationError` for one that cannot be used."""
    match auth:
        case OAuth2ClientCredentials():
            return ClientCredentialsGrant(auth)
        case OAuth2RefreshToken():
            return RefreshTokenGrant(auth, _refresh_tokens(auth, around))
        case OAuth2JwtBearer():
            return JwtBearerGrant(auth, signer_of(auth, around.folder, around.now, auth.token_url))
        case SignedJwt():
            return SignedJwtGrant(auth, signer_of(auth, around.folder, around.now))
        case LoginAuth(auth=SignedJwt() as own):
            signer = signer_of(own, around.folder, around.now)
            return LoginGrant(auth, Credentials("a signed JWT"), signer, own.prefix)
        case LoginAuth():
            return LoginGrant(auth, _static(auth))
    assert_never(auth)


def _static(auth: LoginAuth) -> Credentials:
    if isinstance(auth.auth, SignedJwt):
        raise TypeError(auth.auth)  # a defect: it has a case of its own
    return credentials_of(auth.auth)


def _refresh_tokens(auth: OAuth2RefreshToken, around: Surroundings) -> RefreshTokens:
    declared = auth.refresh_token.get_secret_value()
    if auth.refresh_token_file is None:
        return InMemory(around.source, declared, around.rotated)
    return InFile((around.folder / Path(auth.refresh_token_file).expanduser()).absolute(), declared)

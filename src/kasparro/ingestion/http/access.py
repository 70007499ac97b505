"""How a declared source is reached: a declaration in; what is sent, hidden, trusted and followed out, and the connections for it.

Made once for each source that is opened. Secrets and files that cannot be used are told here, before anything is asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from kasparro.core import clock
from kasparro.core.etl_config import (
    ApiKeyAuth,
    ApiSource,
    BasicAuth,
    BearerAuth,
    CsvSource,
    LoginAuth,
    NoAuth,
    Retry,
    TokenAuth,
)
from kasparro.ingestion.http.credentials import Credentials, credentials_of
from kasparro.ingestion.http.gate import Waiting, open_gate
from kasparro.ingestion.http.grants import Grant, Surroundings, grant_of
from kasparro.ingestion.http.guarded import Network
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.redirects import RedirectRules, redirect_rules
from kasparro.ingestion.http.retry import with_retries
from kasparro.ingestion.http.session import CONNECTIONS, Elsewhere, open_session
from kasparro.ingestion.http.tls import TlsContexts, tls_contexts
from kasparro.ingestion.http.token_request import Asking
from kasparro.ingestion.http.tokens import PROCESS_TOKENS, Slot, TokenCache, TokenKeeper

_TOKEN_TIMEOUT: Final = 30.0
"""The longest wait for a token, in seconds, unless the source declares a shorter `timeout`."""


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """How a source has its tokens, and where the one that is in use is kept."""

    grant: Grant
    slot: Slot
    retry: Retry
    timeout: float


@dataclass(frozen=True, slots=True)
class Access:
    """`credentials` are what is sent with each request; of a token they are what is known before there is one."""

    credentials: Credentials
    redact: Redactor
    rules: RedirectRules
    tls: TlsContexts
    tokens: TokenAccess | None = None
    network: Network = field(default_factory=Network)

    @property
    def report(self) -> AuthReport:
        """What requests are authenticated with at this moment."""
        token = None if self.tokens is None else self.tokens.slot.token
        return AuthReport(self.credentials.sent, None if token is None else token.expires)

    @asynccontextmanager
    async def connect(self, waiting: Waiting, connections: int = CONNECTIONS) -> AsyncGenerator[Connections]:
        """Sessions, and whoever keeps the token, for as long as the source is read."""
        elsewhere = Elsewhere(self.tls, self.network)
        async with open_session(connections, self.tls) as session:
            try:
                yield Connections(session, elsewhere, self._keeper(session, waiting))
            finally:
                await elsewhere.close()

    def _keeper(self, session: aiohttp.ClientSession, waiting: Waiting) -> TokenKeeper | None:
        if self.tokens is None:
            return None
        asking = Asking(session, self.redact, self.tokens.timeout, waiting.now)
        for secret in self.tokens.slot.token.credentials.secrets if self.tokens.slot.token else ():
            asking.learn(secret)
        attempt = partial(self.tokens.grant.token, asking)
        obtain = partial(with_retries, attempt, self.tokens.retry, waiting, open_gate(waiting))
        return TokenKeeper(obtain, self.tokens.slot, waiting.now)


@dataclass(frozen=True, slots=True)
class AuthReport:
    """What was authenticated with, without the secret: in words, and until when it is good, where that is known."""

    sent: str
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Connections:
    """What one reading of a source asks with."""

    session: aiohttp.ClientSession
    elsewhere: Elsewhere
    tokens: TokenKeeper | None


def access_of(
    declaration: ApiSource | CsvSource,
    cache: TokenCache = PROCESS_TOKENS,
    network: Network | None = None,
) -> Access:
    """Raises `ConfigurationError` for a secret no header can carry, a key nothing can be signed with, a file that cannot be read.

    *network* is where redirects to other hosts lead, where that is not the real one.
    """
    network = network or Network()
    rules = redirect_rules(declaration.redirects, declaration.redirect_hosts)
    tls = tls_contexts(declaration.tls, declaration.folder)
    match declaration.auth:
        case NoAuth() | BearerAuth() | ApiKeyAuth() | BasicAuth() as static:
            credentials = credentials_of(static)
            return Access(credentials, Redactor(credentials.secrets), rules, tls, network=network)
        case auth:
            around = Surroundings(declaration.name, declaration.folder, clock.now(), cache.rotated)
            grant = grant_of(auth, around)
            redact = Redactor(grant.secrets)
            query = {auth.name: ""} if isinstance(auth, LoginAuth) and auth.in_ == "query" else {}
            credentials = Credentials(grant.sent, query=query, secrets=redact.learned)
            slot = Slot(cache, declaration.name, _way(auth))
            tokens = TokenAccess(grant, slot, declaration.retry, _timeout(declaration))
            return Access(credentials, redact, rules, tls, tokens, network)


def _timeout(declaration: ApiSource | CsvSource) -> float:
    declared = declaration.timeout.total_seconds() if isinstance(declaration, ApiSource) else _TOKEN_TIMEOUT
    return min(declared, _TOKEN_TIMEOUT)


def _way(auth: TokenAuth) -> str:
    """A digest of everything that is declared: whoever declares otherwise finds no token of before."""
    text = json.dumps(auth.model_dump(), sort_keys=True, default=_text)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

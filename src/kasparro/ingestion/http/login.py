"""Logging in: the declared request in, the token or cookie of its answer out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from pydantic import SecretStr

from kasparro.core.errors import AuthenticationFailed, UnexpectedContent
from kasparro.core.etl_config import LoginAuth
from kasparro.ingestion.http.credentials import Credentials, received_header, sendable_header
from kasparro.ingestion.http.headers import merged
from kasparro.ingestion.http.oauth2 import lifetime_of, opened
from kasparro.ingestion.http.origin import parse_url
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.http.signing import Signer
from kasparro.ingestion.http.token_request import Asking, TokenAnswer, TokenRequest
from kasparro.ingestion.http.tokens import Token

_LOGIN: Final = "the login"
_AUTHORIZATION: Final = "authorization"
_EPOCH: Final = 1_000_000_000
"""From here on a number is a second of the epoch, and no longer a number of seconds from now."""


@dataclass(frozen=True, slots=True)
class LoginGrant:
    """A request of its own. `with_it` is what it is authenticated with, apart from what it sends; `signer` makes that anew."""

    declared: LoginAuth
    with_it: Credentials = field(repr=False)
    signer: Signer | None = field(default=None, repr=False)
    prefix: str = "Bearer "

    @property
    def sent(self) -> str:
        what = "a token" if self.declared.cookie is None else f"the cookie {self.declared.cookie!r}"
        return f"{what} of a login was sent (auth: login)"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*self.with_it.secrets, *_sealed(self.declared.body), *_sealed(self.declared.form))

    async def token(self, asking: Asking) -> Token:
        """Log in, and read what is to be sent from then on."""
        started = asking.now()
        answer = await asking.ask(self._request(asking))
        if self.declared.cookie is not None:
            return self._cookie(asking, answer, self.declared.cookie, started)
        members = answer.members(_LOGIN)
        text = _found(self.declared.token_path or "", members)
        if not isinstance(text, str) or not text:
            raise UnexpectedContent(
                f"{_LOGIN} answered without a token at {self.declared.token_path!r}{_named(members)}",
                hint="Check `auth.token_path`",
            )
        return Token(self._credentials(asking.learn(text)), started, self._expires(members, started))

    def _request(self, asking: Asking) -> TokenRequest:
        declared = self.declared
        headers, body = dict[str, str](), None
        if declared.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode({name: opened(value) for name, value in declared.form.items()}).encode()
        elif declared.body is not None:
            headers["Content-Type"] = "application/json"
            body = msgspec.json.encode(_unsealed(declared.body))
        own = self.with_it.headers
        if self.signer is not None:
            signed, _ = self.signer.sign(asking.now())
            own = sendable_header("Authorization", self.prefix + asking.learn(signed), "auth.auth")
        url = with_query(parse_url(declared.url), self.with_it.query.items())
        sent = merged(headers, declared.headers, own)
        return TokenRequest(_LOGIN, url, declared.method, sent, body, for_cookie=declared.cookie is not None)

    def _cookie(self, asking: Asking, answer: TokenAnswer, name: str, started: datetime) -> Token:
        value = answer.cookies.get(name)
        if not value:
            given = ", ".join(sorted(answer.cookies))[:100] or "none"
            raise AuthenticationFailed(
                f"{_LOGIN} answered {answer.status} without the cookie {name!r}; the cookies it sets: {given}",
                hint="A login that is refused often answers so; check what it sends, and `auth.cookie`",
            )
        headers = received_header("Cookie", f"{name}={asking.learn(value)}", "the cookie")
        return Token(
            Credentials(self.sent, headers=headers, secrets=(value,)), started, self._expires({}, started)
        )

    def _credentials(self, text: str) -> Credentials:
        declared = self.declared
        bearer = declared.in_ == "header" and declared.name.lower() == _AUTHORIZATION
        prefix = declared.prefix if declared.prefix is not None else "Bearer " if bearer else ""
        if declared.in_ == "query":
            return Credentials(self.sent, query={declared.name: prefix + text}, secrets=(text,))
        headers = received_header(declared.name, prefix + text, "the token")
        return Credentials(self.sent, headers=headers, secrets=(text,))

    def _expires(self, members: Any, started: datetime) -> datetime | None:
        told = _found(self.declared.expires_path, members) if self.declared.expires_path else None
        declared = None if self.declared.lifetime is None else started + self.declared.lifetime
        return declared if told is None else _time(told, started) or declared


def _found(expression: str, members: Any) -> Any:
    try:
        return jmespath.search(expression, members)
    except JMESPathError:
        raise UnexpectedContent(
            f"the answer of {_LOGIN} does not fit the expression {expression!r}"
        ) from None


def _time(told: Any, started: datetime) -> datetime | None:
    """A number of seconds from *started* on, a second of the epoch, or a time as ISO 8601 has it."""
    if isinstance(told, str) and not told.strip().isdigit():
        try:
            when = datetime.fromisoformat(told.strip())
        except ValueError:
            return None
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    lifetime = lifetime_of(told)
    if lifetime is None:
        return None
    if float(told) >= _EPOCH:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=min(float(told), 100 * _EPOCH))
    return started + lifetime


def _named(members: Any) -> str:
    return (
        f"; its members are {', '.join(sorted(map(str, members)))[:100]}" if isinstance(members, dict) else ""
    )


def _sealed(value: Any) -> Iterator[str]:
    match value:
        case Mapping():
            for inner in value.values():
                yield from _sealed(inner)
        case list() | tuple():
            for inner in value:
                yield from _sealed(inner)
        case SecretStr():
            yield value.get_secret_value()
        case _:
            return


def _unsealed(value: Any) -> Any:
    match value:
        case Mapping():
            return {name: _unsealed(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_unsealed(inner) for inner in value]
        case SecretStr():
            return value.get_secret_value()
        case _:
            return value

"""One request for a token, to the declared address and nowhere else: bounded in time and size, redirects not followed.

What is answered is a secret. So no error shows more of a good answer than the names of its members, and of a bad one what the
provider says is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from kasparro import __version__
from kasparro.core.errors import (
    AuthenticationFailed,
    PermanentSourceError,
    SourceError,
    TransientSourceError,
    UnexpectedContent,
)
from kasparro.core.redaction import register_passing_secret
from kasparro.ingestion.http.body import MIB, Bounds, read_body
from kasparro.ingestion.http.content_encoding import ACCEPT_ENCODING
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.headers import merged
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.status import EXCERPT, excerpt, status_error

_BOUNDS: Final = Bounds(size=MIB)
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What to ask; it may be all secrets. `what` names it for people. With `for_cookie` a redirect may be the answer."""

    what: str
    url: URL
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    for_cookie: bool = False


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A good answer."""

    status: int
    cookies: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    def members(self, what: str) -> Any:
        """The JSON it is. Raises `UnexpectedContent`, without a word of what it says."""
        try:
            return msgspec.json.decode(self.content)
        except msgspec.DecodeError:
            raise UnexpectedContent(f"{what} did not answer with JSON") from None


@dataclass(frozen=True, slots=True)
class Asking:
    """What a token is asked for with: the session of the source, what takes secrets out, the longest wait, the time."""

    session: aiohttp.ClientSession
    redact: Redactor
    timeout: float
    now: Callable[[], datetime]

    async def ask(self, request: TokenRequest) -> TokenAnswer:
        """Ask once. Raises `AuthenticationFailed` with what the provider says, and the rest of the `SourceError` family."""
        try:
            with translated(self.redact(str(request.url)), self.redact):
                return await self._ask(request)
        except SourceError as error:
            if error.hint is not None:
                error.hint = error.hint.replace("`url`", "`auth`")
            raise

    async def _ask(self, request: TokenRequest) -> TokenAnswer:
        try:
            async with asyncio.timeout(self.timeout), self._send(request) as raw:
                return await _receive(request, raw, self.redact, self.now())
        except TimeoutError as error:
            message = f"{request.what} gave no complete answer within {self.timeout:g} s"
            raise TransientSourceError(message) from error

    def learn(self, secret: str) -> str:
        """Take *secret*, which has just come, out of whatever is shown from now on."""
        self.redact.learn(secret)
        register_passing_secret(secret)
        return secret

    def _send(self, request: TokenRequest) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        ours = {"User-Agent": f"kasparro/{__version__}", "Accept": "application/json"}
        return self.session.request(
            request.method,
            request.url,
            headers=merged(ours, request.headers, {"Accept-Encoding": ACCEPT_ENCODING}),
            data=request.body,
            allow_redirects=False,
        )


async def _receive(
    request: TokenRequest, raw: aiohttp.ClientResponse, redact: Redactor, now: datetime
) -> TokenAnswer:
    cookies = {name: morsel.value for name, morsel in raw.cookies.items()}
    if HTTPStatus.MULTIPLE_CHOICES <= raw.status < HTTPStatus.BAD_REQUEST:
        if cookies and request.for_cookie:  # so answer logins that are made for browsers
            return TokenAnswer(raw.status, cookies, b"")
        raise PermanentSourceError(
            f"{request.what} redirects ({raw.status}), which is not followed: a credential goes where it is declared for",
            hint="Declare the address it redirects to",
        )
    encoding = ", ".join(raw.headers.getall("Content-Encoding", ()))
    if raw.ok:
        body = await read_body(raw.content.iter_any(), encoding, _BOUNDS)
        return TokenAnswer(raw.status, cookies, body.content)
    try:
        content = (await read_body(raw.content.iter_any(), encoding, _BOUNDS)).content
    except (SourceError, aiohttp.ClientError, OSError):  # the status says enough
        content = b""
    raise _refusal(request, raw, content, redact, now)


def _refusal(
    request: TokenRequest, raw: aiohttp.ClientResponse, content: bytes, redact: Redactor, now: datetime
) -> SourceError:
    error = status_error(raw.status, raw.headers, f"{request.what} was asked", now)
    code, said = _oauth_error(content)
    shown = redact(said if code else excerpt(content))[:EXCERPT]
    message = f"{request.what} {error.message}" + (f": {shown}" if shown else "")
    if code in _PASSING:
        return TransientSourceError(message, retry_after=getattr(error, "retry_after", None))
    if isinstance(error, TransientSourceError):
        error.message = message
        return error
    refused = code or raw.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    if refused:
        return AuthenticationFailed(message, hint=_HINTS.get(code, "Check `auth` and the secrets it names"))
    return PermanentSourceError(message, hint=f"Check the address of {request.what} in `auth`")


_HINTS: Final = {
    "invalid_client": "Check `client_id`, `client_secret` and `client_auth` (basic or body) in `auth`",
    "invalid_grant": "What was sent has expired, was revoked, or was used before: a new one is needed in `auth`",
    "invalid_scope": "Check `scope` in `auth`",
    "unauthorized_client": "Let the provider allow this client this kind of grant",
    "unsupported_grant_type": "The provider does not know this `type` of `auth`",
}


def _oauth_error(content: bytes) -> tuple[str, str]:
    """The code and what is said of it (RFC 6749, section 5.2); empty if it is not such an answer."""
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return "", ""
    if not isinstance(found, dict) or not isinstance(found.get("error"), str):
        return "", ""
    code = excerpt(found["error"].encode())
    description = found.get("error_description")
    said = f"{code} ({excerpt(description.encode())})" if isinstance(description, str) else code
    return code, said

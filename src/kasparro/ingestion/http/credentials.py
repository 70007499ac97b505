"""What is sent as a credential: a declared secret in, headers and query parameters to send and secrets to hide out.

Secrets that have to be fetched first are in `grants`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, assert_never

from kasparro.core.errors import ConfigurationError, UnexpectedContent
from kasparro.core.etl_config import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth, StaticAuth
from kasparro.ingestion.http.redaction import TELLING

_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What to add to a request to the declared origin, and to no other. `sent` says it without the secret."""

    sent: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    query: dict[str, str] = field(default_factory=dict, repr=False)
    secrets: Collection[str] = field(default=(), repr=False)

    def belongs(self, name: str, value: str) -> bool:
        """Whether the query parameter *name* = *value* is a credential that the source has put into a link."""
        return name in self.query or (len(value) >= TELLING and value in self.secrets)


def credentials_of(auth: StaticAuth) -> Credentials:
    """Open the declared secrets. Raises `ConfigurationError` for one that no header can carry."""
    match auth:
        case NoAuth():
            return Credentials("no credential was sent (auth: none)")
        case BearerAuth():
            token = auth.token.get_secret_value()
            headers = sendable_header("Authorization", f"Bearer {token}", "auth.token")
            return Credentials("a bearer token was sent (auth: bearer)", headers=headers, secrets=(token,))
        case BasicAuth():
            return _basic(auth)
        case ApiKeyAuth():
            return _api_key(auth)
    assert_never(auth)


def _basic(auth: BasicAuth) -> Credentials:
    password = auth.password.get_secret_value()
    packed = base64.b64encode(f"{auth.username}:{password}".encode()).decode()
    return Credentials(
        "a user name and a password were sent (auth: basic)",
        headers=sendable_header("Authorization", f"Basic {packed}", "auth"),
        secrets=(packed, *([password] if password else [])),
    )


def _api_key(auth: ApiKeyAuth) -> Credentials:
    key = auth.value.get_secret_value()
    value = (auth.prefix or "") + key
    said = f"an API key was sent in the {auth.in_} {'parameter ' * (auth.in_ == 'query')}{auth.name!r} (auth: api_key)"
    if auth.in_ == "query":
        return Credentials(said, query={auth.name: value}, secrets=(value, key))
    return Credentials(said, headers=sendable_header(auth.name, value, "auth.value"), secrets=(value, key))


def sendable_header(name: str, value: str, where: str) -> dict[str, str]:
    """The header, if HTTP can carry it; *where* names the key of the declaration."""
    if _UNSENDABLE.search(value):
        raise ConfigurationError(
            f"{where}: the secret contains a character that no HTTP header can carry",
            hint="Look for a line break or a typographic quote where the environment variable is set",
        )
    return {name: value}


def received_header(name: str, value: str, what: str) -> dict[str, str]:
    """The same for a credential that came in an answer: *what* names it, and nobody here has to correct anything."""
    if _UNSENDABLE.search(value):
        raise UnexpectedContent(f"{what} that was given contains a character that no HTTP header can carry")
    return {name: value}

"""What is asked for, taken apart: an address and headers as a person has them in, what may be written into a file out.

A credential is never written. Where one was given literally, the draft has `${NAME}` in its place, and who gave it is told to
set that variable.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from kasparro.core.declarations.urls import is_credential_name
from kasparro.core.errors import ConfigurationError
from kasparro.core.redaction import is_secret_name
from kasparro.services.drafting.draft import literal

_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAYBE_SECRET: Final = frozenset({"key", "token", "auth", "sig", "signature", "appid", "pat"})
_LONG: Final = 12
"""From this length on the value of a parameter called `key` is taken for a credential."""


@dataclass(slots=True)
class Asked:
    """An address without credentials and query, what belongs to it, and the secrets that were found in it, by variable."""

    url: str
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    auth: dict[str, Any] | None = None
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    prefix: str = ""

    def reference(self, what: str, value: str) -> str:
        """*value* if it is a reference already, else a variable that stands for it."""
        if _REFERENCE.fullmatch(value):
            return value
        name = f"{self.prefix}_{what}".upper()
        self.secrets[name] = value
        return f"${{{name}}}"

    def authenticate(self, block: dict[str, Any]) -> None:
        if self.auth is not None:
            raise ConfigurationError(
                "more than one credential was given", hint="A source has one `auth`: leave the others out"
            )
        self.auth = block


def taken_apart(url: str, headers: Sequence[str], name: str, auth: str | None) -> Asked:
    """Raises `ConfigurationError` for what cannot be asked for."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("the address must begin with http:// or https://")
    host = parts.netloc.rpartition("@")[2]
    asked = Asked(f"{parts.scheme}://{host}{parts.path or '/'}", prefix=name)
    if parts.username is not None:
        password = asked.reference("PASSWORD", unquote(parts.password or ""))
        asked.authenticate(
            {"type": "basic", "username": literal(unquote(parts.username)), "password": password}
        )
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        _parameter(asked, key, value)
    for header in headers:
        _header(asked, header)
    if auth is not None:
        asked.authenticate(_spelled(auth))
    return asked


def _parameter(asked: Asked, name: str, value: str) -> None:
    telling = is_credential_name(name) or is_secret_name(name)
    maybe = name.lower() in _MAYBE_SECRET and (len(value) >= _LONG or _REFERENCE.fullmatch(value) is not None)
    if not telling and not maybe:
        asked.params[name] = value
        return
    asked.authenticate(
        {"type": "api_key", "in": "query", "name": name, "value": asked.reference("KEY", value)}
    )


def _header(asked: Asked, header: str) -> None:
    name, colon, value = (part.strip() for part in header.partition(":"))
    if not colon or not name:
        raise ConfigurationError("a header is written as 'Name: value'")
    lower = name.lower()
    if lower == "authorization":
        asked.authenticate(_authorization(asked, value))
    elif (
        is_secret_name(name)
        or is_credential_name(name)
        or lower.endswith(("-key", "-token", "-auth", "cookie"))
    ):
        asked.authenticate(
            {"type": "api_key", "in": "header", "name": name, "value": asked.reference("KEY", value)}
        )
    else:
        asked.headers[name] = value


def _authorization(asked: Asked, value: str) -> dict[str, Any]:
    scheme, blank, credential = value.partition(" ")
    match scheme.lower():
        case "bearer" if blank:
            return {"type": "bearer", "token": asked.reference("TOKEN", credential.strip())}
        case "basic" if blank:
            return _basic(asked, credential.strip())
        case _:
            prefix = {"prefix": literal(f"{scheme} ")} if blank else {}
            secret = asked.reference("KEY", credential.strip() if blank else value)
            return {"type": "api_key", "in": "header", "name": "Authorization", **prefix, "value": secret}


def _basic(asked: Asked, packed: str) -> dict[str, Any]:
    try:
        user, colon, password = base64.b64decode(packed, validate=True).decode().partition(":")
    except ValueError:
        colon = user = password = ""
    if not colon:
        raise ConfigurationError("the header Authorization: Basic does not hold a user name and a password")
    return {"type": "basic", "username": literal(user), "password": asked.reference("PASSWORD", password)}


def _spelled(text: str) -> dict[str, Any]:
    """A credential by the variable that holds it: a secret on a command line is in the shell's history."""
    match text.split(":"):
        case ["bearer", variable]:
            return {"type": "bearer", "token": _variable(variable)}
        case ["header", name, variable]:
            return {"type": "api_key", "in": "header", "name": name, "value": _variable(variable)}
        case ["query", name, variable]:
            return {"type": "api_key", "in": "query", "name": name, "value": _variable(variable)}
        case ["basic", user, variable]:
            return {"type": "basic", "username": literal(user), "password": _variable(variable)}
        case _:
            raise ConfigurationError(
                "--auth is not understood",
                hint="bearer:VARIABLE, header:NAME:VARIABLE, query:NAME:VARIABLE or basic:USER:VARIABLE",
            )


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ConfigurationError(
            "that is not the name of a variable", hint="Put the secret into a variable, and give its name"
        )
    return f"${{{name}}}"


def written(values: Mapping[str, str]) -> dict[str, str]:
    """Parameters or headers as they are declared: references stay references, everything else is what it is."""
    return {name: value if _REFERENCE.fullmatch(value) else literal(value) for name, value in values.items()}

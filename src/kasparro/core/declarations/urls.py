"""Addresses a source may have: http or https, without credentials. Text in, the same text out."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, StringConstraints

from kasparro.core.declarations.base import refuse

CREDENTIAL_NAMES: Final = frozenset(
    {"access_token", "api_key", "api_secret", "apikey", "app_key", "auth_token", "client_secret", "password"}
    | {"private_key", "secret", "secret_key", "subscription_key", "x_api_key"}
)
_UNUSABLE: Final = re.compile(r"[\x00-\x20\x7f\\]")


def is_credential_name(name: str) -> bool:
    """Whether a parameter of this name carries a credential, whatever its value."""
    return name.lower().replace("-", "_") in CREDENTIAL_NAMES


def check_http_url(text: str) -> str:
    """Accept *text* if it is an address of the web without credential and fragment."""
    return _check(text, ("http", "https"))


def check_stream_url(text: str) -> str:
    """Accept *text* if it is an address that can be subscribed to."""
    return _check(text, ("http", "https", "ws", "wss"))


def _check(text: str, schemes: tuple[str, ...]) -> str:
    if _UNUSABLE.search(text):
        refuse("must not contain blanks, backslashes or control characters")
    parts = _split(text)
    if parts.scheme not in schemes or not parts.hostname:
        refuse(f"must be a complete address that starts with {' or '.join(f'{s}://' for s in schemes)}")
    if parts.username is not None or parts.password is not None:
        refuse("must not contain a user name or password", hint="Declare them under auth: {type: basic, ...}")
    if parts.fragment or text.endswith("#"):
        refuse("must not contain a fragment (#...), which is never sent")
    if any(is_credential_name(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        refuse("must not contain a credential", hint="Declare it under auth: {type: api_key, in: query, ...}")
    return text


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # read for its check
    except ValueError:
        refuse("is not a valid address: its host or port cannot be read")
    return parts


_Text = Annotated[str, StringConstraints(min_length=1, max_length=8_000)]
HttpUrl = Annotated[_Text, AfterValidator(check_http_url)]
StreamUrl = Annotated[_Text, AfterValidator(check_stream_url)]

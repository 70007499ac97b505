"""What may be shown: text in, the same text without credentials and without control characters out.

Every log line and every message for people passes through here. A credential is known by where it stands (a key or a
parameter with a telling name, the user info of a URL) or by its value, once `register_secrets` has seen it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pydantic import BaseModel, SecretStr

MASK: Final = "***"
SHORTEST_SECRET: Final = 4
"""Shorter values are only known by where they stand: masking every `a` would leave no text."""

_NAME: Final = r"token|secret|passw(?:or)?d|passphrase|authorization|api[_-]?key|access[_-]?key|private[_-]?key|credential|cookie"
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(?<=://)([^\s/?#@:]*):[^\s/?#]*(?=@)")
_PARAMETER: Final = re.compile(
    rf"""(?P<name>[\w.\[\]-]*(?:{_NAME})[\w.\[\]-]*["']?\s*[=:]\s*["']?)"""
    r"""(?P<scheme>(?:bearer|basic|token|apikey)\s+)?(?P<value>[^\s"'&#;,{}()<>]+)""",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/-]{8,}=*")
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class KnownSecrets:
    """The secret values of this process, in each spelling they could appear in."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        if len(value) < SHORTEST_SECRET or value in self._values:
            return
        self._values |= {value, quote(value, safe=""), quote(value), quote_plus(value), repr(value)[1:-1]}
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


_known = KnownSecrets()


def register_secret(value: str) -> None:
    """Mask *value* from now on wherever it appears; of a URL, its password alone."""
    password = _password_of(value)
    if password is None:
        _known.add(value)
    else:
        _known.add(unquote(password))
        _known.add(password)


def register_secrets(declared: Any) -> None:
    """Register every `SecretStr` within *declared*: a model, or mappings and lists of them."""
    match declared:
        case SecretStr():
            register_secret(declared.get_secret_value())
        case BaseModel():
            register_secrets(dict(declared))
        case Mapping():
            register_secrets(declared.values())
        case str() | bytes():
            return
        case Iterable():
            for item in declared:
                register_secrets(item)


def _password_of(value: str) -> str | None:
    if "://" not in value:
        return None
    try:
        return urlsplit(value).password or ""
    except ValueError:
        return None


def is_secret_name(name: str) -> bool:
    """Whether what is called *name* is a credential, whatever its value."""
    return _SECRET_NAME.search(name) is not None


def redact_text(text: str) -> str:
    """*text* with every credential in it replaced by `***`."""
    text = _known.mask(text)
    text = _USER_INFO.sub(rf"\1:{MASK}", text)
    text = _PARAMETER.sub(_masked_parameter, text)
    return _BEARER.sub(rf"\1 {MASK}", text)


def _masked_parameter(match: re.Match[str]) -> str:
    return f"{match['name']}{match['scheme'] or ''}{MASK}"


def redact(name: str, value: Any) -> Any:
    """*value*, called *name*, as it may be logged: plain JSON types, credentials replaced at any depth."""
    if is_secret_name(name) and value is not None and not isinstance(value, bool):
        return MASK
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return redact_text(value)
        case Mapping():
            return {printable(str(key)): redact(str(key), item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact("", item) for item in value]
        case BaseException():
            return redact_text(f"{type(value).__name__}: {value}")
        case _:
            return redact_text(str(value))


def printable(text: str) -> str:
    """*text* on one line and harmless to a terminal: control, direction and line-breaking characters are escaped."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def for_people(text: str) -> str:
    """*text* from outside, fit for a terminal: neither credentials nor control characters."""
    return printable(redact_text(text))

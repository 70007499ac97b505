"""What may be shown: text in, the same text without credentials and without control characters out.

Every log line and every message for people passes through here. A credential is known by where it stands (a key or a
parameter with a telling name, the user info of a URL) or by its value, once `register_secrets` has seen it.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK: Final = "***"
SHORTEST_SECRET: Final = 4
"""Shorter values are only known by where they stand: masking every `a` would leave no text."""

PASSING_SECRETS: Final = 64
"""So many secrets that were given out for a while, such as tokens, are known at once: the newest."""

LONGEST_TEXT: Final = 65_536
"""Characters of a logged value that are looked at, and so the most that can be left of it."""

_NAME: Final = (
    r"(?:token|secret|passw(?:or)?d|passphrase|authorization|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credential|cookie)"
)
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)
# Each part is bounded, or cannot match what follows it: a megabyte of hostile text costs what a megabyte of prose costs.
_RULES: Final = (
    (re.compile(r"(?<=://)([^\s/?#@:]*):[^\s/?#]*(?=@)"), r"\1:***"),
    (re.compile(r"(?<=https://)[^\s/?#@:]+(?=@)|(?<=http://)[^\s/?#@:]+(?=@)"), "***"),
    (
        re.compile(rf"""({_NAME}[\w.\[\]%-]{{0,40}}=)(?:"[^"]*"|'[^']*'|[^\s"'&#;,)}}<>]+)""", re.IGNORECASE),
        r"\1***",
    ),
    (
        re.compile(
            rf"""({_NAME}[\w.-]{{0,40}}["']?\s{{0,3}}:\s{{0,3}})(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""",
            re.IGNORECASE,
        ),
        r'\1"***"',
    ),
    (
        re.compile(
            rf"""({_NAME}[\w.-]{{0,40}}:\s{{0,3}}(?:(?:bearer|basic|token|apikey)\s+)?)(?=[^\s"',;]{{0,100}}\d)[^\s"',;]{{8,}}""",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/-]{16,}=*"), r"\1 ***"),
)
_HEX: Final = re.compile(r"%[0-9A-F]{2}")
_FOR_SCRIPTS: Final = {ord(sign): f"\\u{ord(sign):04x}" for sign in "&<>"}
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def spellings(value: str) -> set[str]:
    """*value* as it stands in plain text, URLs, HTML, and in quotes as Python and the JSON of Python, PHP and Go write them."""
    in_urls = {quote(value), quote(value, safe=""), quote_plus(value)}
    in_urls |= {_HEX.sub(lambda match: match[0].lower(), url) for url in in_urls}
    in_json = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    in_json |= {text.replace("/", "\\/") for text in in_json}
    in_json |= {text.translate(_FOR_SCRIPTS) for text in in_json}
    in_json |= {
        json.dumps(text, ensure_ascii=False)[1:-1] for text in in_json
    }  # JSON in JSON, as gateways write errors
    in_html = {escape(value), escape(value, quote=False)}
    return {value, repr(value)[1:-1]} | in_urls | in_json | in_html


class KnownSecrets:
    """The secret values of this process, in each spelling they could appear in."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._passing: deque[str] = deque(maxlen=PASSING_SECRETS)
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        if len(value) < SHORTEST_SECRET or value in self._values:
            return
        self._values |= spellings(value)
        self._compile()

    def add_passing(self, value: str) -> None:
        if len(value) < SHORTEST_SECRET or value in self._values or value in self._passing:
            return
        self._passing.append(value)
        self._compile()

    def _compile(self) -> None:
        values = self._values.union(*map(spellings, self._passing))
        longest_first = sorted(values, key=len, reverse=True)
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


def register_passing_secret(value: str) -> None:
    """Mask *value*, which is replaced by another one some day, until `PASSING_SECRETS` newer ones have come."""
    _known.add_passing(value)


def register_secrets(declared: Any) -> None:
    """Register every `SecretStr` within *declared*: a Pydantic model, or mappings and lists of them."""
    # Known by their methods: importing Pydantic here would slow down every `kasparro --help`.
    if hasattr(declared, "get_secret_value"):
        register_secret(declared.get_secret_value())
    elif isinstance(declared, Mapping):
        register_secrets(declared.values())
    elif isinstance(declared, Iterable) and not isinstance(declared, str | bytes):
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
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact(name: str, value: Any) -> Any:
    """*value*, called *name*, as it may be logged: plain JSON types, credentials replaced at any depth."""
    if value is None or isinstance(value, bool):
        return value
    return MASK if is_secret_name(name) else _redacted(value)


def _redacted(value: Any) -> Any:
    match value:
        case int() | float():
            return value
        case Mapping():
            return {redact_text(str(key)): redact(str(key), item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact("", item) for item in value]
        case BaseException():
            return redact_text(f"{type(value).__name__}: {value}"[:LONGEST_TEXT])
        case _:
            return redact_text(str(value)[:LONGEST_TEXT])


def printable(text: str) -> str:
    """*text* on one line and harmless to a terminal: control, direction and line-breaking characters are escaped."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def for_people(text: str) -> str:
    """*text* from outside, fit for a terminal: neither credentials nor control characters."""
    return printable(redact_text(text))

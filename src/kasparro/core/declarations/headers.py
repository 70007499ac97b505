"""Headers a source may declare: `headers`. Names and values that cannot smuggle another header or a credential."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from kasparro.core.declarations.base import Refusal, refuse_all
from kasparro.core.declarations.expressions import NOT_A_HEADER_NAME, Text, is_header_name

_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization"})
_OF_THE_CLIENT: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})
_UNUSABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|^\s|\s$")


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Accept *headers* if each can be sent as it stands and none is a credential."""
    faults = [_fault(name, value) for name, value in headers.items()]
    names = [name.lower() for name in headers]
    twice = [name for position, name in enumerate(headers) if name.lower() in names[:position]]
    faults += [
        Refusal("is there twice: header names do not tell capital from small letters", (name,))
        for name in twice
    ]
    refuse_all([fault for fault in faults if fault])
    return headers


def _fault(name: str, value: str) -> Refusal | None:
    if not is_header_name(name):
        return Refusal(NOT_A_HEADER_NAME, (name,))
    if name.lower() in _CREDENTIALS:
        return Refusal(
            "must not be given as a header", (name,), "Declare it under auth: {type: bearer, token: ...}"
        )
    if name.lower() in _OF_THE_CLIENT:
        return Refusal("is set by the HTTP client and cannot be declared", (name,))
    if _UNUSABLE.search(value):
        return Refusal(
            "must not contain line breaks or control characters, nor begin or end with a blank", (name,)
        )
    return None


Headers = Annotated[dict[Text, str], AfterValidator(check_headers)]

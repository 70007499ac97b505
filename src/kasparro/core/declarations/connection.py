"""How a source on the web is reached: `tls`, and where redirects may lead, `redirects` and `redirect_hosts`."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.declarations.tls import Tls

_HOST: Final = re.compile(
    r"(?:https?://)?(?:\*|(?:\*\.)?[^\s/?#@:*\[\]\\.][^\s/?#@:*\[\]\\]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
_LARGEST_PORT: Final = 65_535


def check_redirect_host(text: str) -> str:
    """Accept *text* if it names a host, with scheme and port where they are not https and 443, or a pattern of hosts."""
    port = text.rpartition(":")[2]
    if not _HOST.fullmatch(text) or (port.isdecimal() and not 0 < int(port) <= _LARGEST_PORT):
        refuse(
            "must be a host such as cdn.example.org, *.example.org or http://localhost:8080, without a path",
            hint="`*` alone stands for every public host",
        )
    return text


RedirectHost = Annotated[
    str, StringConstraints(min_length=1, max_length=300), AfterValidator(check_redirect_host)
]


class Connection(Declaration):
    """What sources that speak HTTP have in common, whatever they read."""

    redirects: Literal["same_origin", "none"] = Field(
        "same_origin", description="Whether redirects within the origin of the address are followed."
    )
    redirect_hosts: tuple[RedirectHost, ...] = Field(
        (),
        max_length=100,
        description="Other hosts a redirect may lead to, such as `cdn.example.org` or `*.example.org`; no credential "
        "is sent there.",
    )
    tls: Tls | None = Field(None, description="Authorities to trust, and a client certificate to show.")

    @model_validator(mode="after")
    def _redirects_or_none(self) -> Connection:
        if self.redirects == "none" and self.redirect_hosts:
            refuse("contradicts redirects: none", at=("redirect_hosts",))
        return self

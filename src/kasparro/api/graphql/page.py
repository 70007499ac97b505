"""The page that a browser gets: a query, its variables, its answer. It is whole in itself, so that it works with no internet."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from starlette.responses import HTMLResponse

POLICY: Final = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def page() -> HTMLResponse:
    html, policy = _page()
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Vary": "Accept"})


@lru_cache(maxsize=1)
def _page() -> tuple[str, str]:
    html = (files("kasparro.api.graphql") / "page.html").read_text()
    return html, POLICY.format(script=_hash(html, "script"), style=_hash(html, "style"))


def _hash(html: str, tag: str) -> str:
    inline = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return b64encode(sha256(inline.encode()).digest()).decode()

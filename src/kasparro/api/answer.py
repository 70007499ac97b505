"""An answer as it is sent: status, headers and body, with nothing worked out any more."""

from __future__ import annotations

from starlette.responses import Response

from kasparro.api.headers import Header


class Answer(Response):
    """A response of which everything is known. The headers are the ones given, as they are."""

    def __init__(self, status: int, headers: list[Header], body: bytes = b"") -> None:
        self.status_code = status
        self.raw_headers = headers
        self.body = body
        self.background = None

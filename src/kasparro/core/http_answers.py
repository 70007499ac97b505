"""Sends an answer whose length is told and whose body comes in one piece at once: looked at as a whole and written in one go.

uvicorn looks at each header by itself and writes twice, which for a short answer is most of the work. Whatever is out of the
ordinary goes its way. `http_protocol` puts it in uvicorn's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Message = Any
Header = tuple[bytes, bytes]

CONTROLS: Final = bytes({*range(32), 127} - set(b"\t"))
"""What a header does not contain (RFC 9110, 5.5)."""

NO_BODY: Final = frozenset({204, 304})
FRAMING: Final = frozenset({b"connection", b"transfer-encoding"})


class AtOnce:
    """Stands in for the `send` of *cycle*. The start of an answer waits for its body, or the first piece of it."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        cycle = self._cycle
        if message["type"] == "http.response.start" and self._start is None and not cycle.response_started:
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            whole = self._whole(start, message)
            if whole is not None:
                cycle.response_started = cycle.response_complete = True
                cycle.transport.write(whole)
                cycle.message_event.set()
                cycle.on_response()
                return
            await self._send(start)
        await self._send(message)

    def _whole(self, start: Message, message: Message) -> bytes | None:
        """The bytes of the whole answer; None where it is not an ordinary one."""
        cycle, status = self._cycle, start["status"]
        if (
            message.get("more_body")
            or cycle.disconnected
            or cycle.flow.write_paused
            or not cycle.keep_alive
            or cycle.scope["method"] == "HEAD"
            or status not in STATUS_LINE
        ):
            return None
        body = message.get("body", b"")
        lines = lines_of(status, [*cycle.default_headers, *start.get("headers", ())], body)
        return None if lines is None else written(status, lines, body)


def lines_of(status: int, headers: Sequence[Header], body: bytes) -> bytes | None:
    """The lines of headers that tell the length of *body*; None where they do not, or are not sound."""
    length = dict(headers).get(b"content-length", b"0" if status in NO_BODY else b"")
    return settled(headers) if length == b"%d" % len(body) else None


def settled(headers: Sequence[Header]) -> bytes | None:
    """The lines of headers; None where they are not sound, or say how the body is sent."""
    lines = printed(headers)
    # The only control characters are the breaks that were put between them.
    sound = len(lines.translate(None, CONTROLS)) == len(lines) - 2 * len(headers)
    return lines if sound and FRAMING.isdisjoint(dict(headers)) else None


def printed(headers: Sequence[Header]) -> bytes:
    return b"\r\n".join([*[b": ".join(header) for header in headers], b""])


def written(status: int, lines: bytes, *body: bytes) -> bytes:
    """An answer as it is sent; its body may be in pieces."""
    return b"".join((STATUS_LINE[status], lines, b"\r\n", *body))

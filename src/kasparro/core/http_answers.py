"""Sends an answer whose length is told and whose body comes in one piece at once: looked at as a whole and written in one go.

uvicorn looks at each header by itself and writes twice, which for a short answer is most of the work. Whatever is out of the
ordinary goes its way. `http_protocol` puts it in uvicorn's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Message = Any

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
        return whole(status, [*cycle.default_headers, *start.get("headers", ())], message.get("body", b""))


def whole(
    status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, settled: bytes = b""
) -> bytes | None:
    """The bytes of an answer whose headers tell its length; None where they do not, or are not sound.

    The lines of further headers may be `settled` already.
    """
    named = dict(headers)
    if not FRAMING.isdisjoint(named):
        return None
    length = named.get(b"content-length", b"0" if status in NO_BODY else b"")
    head = STATUS_LINE[status] + _lines(headers)
    if length != b"%d" % len(body) or not _sound(head, len(headers) + 1):
        return None
    return b"".join((head, settled, b"\r\n", body))


def settled(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """The lines of headers that many answers have alike, none of them about a body's length; None where they are not sound."""
    lines = _lines(headers)
    return lines if _sound(lines, len(headers)) and FRAMING.isdisjoint(dict(headers)) else None


def _lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"\r\n".join([*[b": ".join(header) for header in headers], b""])


def _sound(head: bytes, lines: int) -> bool:
    """Whether the only control characters in *head* are the breaks that were put between its *lines*."""
    return len(head.translate(None, CONTROLS)) == len(head) - 2 * lines

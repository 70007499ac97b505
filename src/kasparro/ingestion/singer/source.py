"""A Singer tap as a `Source`: its messages in, pages of records out whose cursor is the tap's own state. Called by `opening`.

A STATE speaks for all records before it, so a page's cursor is the last state that came up to its end. Records behind it are
written as well; when the run dies there, the tap sends them again, and their identity shows that they are stored.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final, assert_never

import structlog

from kasparro.core.errors import TapFailed
from kasparro.core.etl_config import SingerSource
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.singer.discovery import catalog_of
from kasparro.ingestion.singer.messages import ActivateVersion, NoMessage, Record, Schema, State, read_message
from kasparro.ingestion.singer.tap import Tap, running
from kasparro.ingestion.singer.workplace import Workplace, workplace
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.schemas.ingest import Cursor, Page, RawRecord, Reject, StreamOrigin

log = structlog.get_logger(__name__)

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes after which a page ends before it is full: what keeps memory bounded when records are large."""

_EXCERPT: Final = 120


class TapPages:
    """The records of a tap; *environ* is where the variables come from that it may see.

    `schemas` are those of the streams seen so far, `catalog` what the tap was given.
    """

    def __init__(
        self, declaration: SingerSource, page_size: int, environ: Mapping[str, str] | None = None
    ) -> None:
        self._declaration = declaration
        self._page_size = max(1, page_size)
        self._environ = os.environ if environ is None else environ
        self._redact = Redactor(declaration.hidden)
        self.schemas: dict[str, Schema] = {}
        self.catalog: dict[str, object] | None = None

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        """See `ingestion.ports.Source`. Everything the tap has started is gone when this ends, however it does."""
        state = None if after is None else str(after["state"])
        timeout = self._declaration.timeout.total_seconds()
        with workplace(self._declaration, self._environ) as place:
            arguments = await self._arguments(place, state)
            async with (
                running(place, arguments, self._declaration.name, timeout, self._redact) as tap,
                aclosing(self._read(tap, _Pile(self._page_size, state))) as pages,
            ):
                async for page in pages:
                    yield page

    async def _arguments(self, place: Workplace, state: str | None) -> list[str]:
        arguments = ["--config", place.write_json("config.json", self._declaration.config)]
        self.catalog = await catalog_of(self._declaration, place, arguments, self._redact)
        if self.catalog is not None:
            arguments += ["--catalog", place.write_json("catalog.json", self.catalog)]
        if state is not None:
            arguments += ["--state", place.write("state.json", state.encode())]
        return arguments

    async def _read(self, tap: Tap, pile: _Pile) -> AsyncGenerator[Page]:
        """What came before something went wrong is handed on before it is told."""
        left_out: Counter[str] = Counter()
        number = 0
        failure: TapFailed | None = None
        try:
            async with aclosing(tap.lines()) as writing:
                async for lines in writing:
                    for line in lines:
                        number += 1
                        self._take(line, number, pile, left_out)
                        if pile.full:
                            yield pile.page()
                    if not lines and len(pile):
                        yield pile.page()
        except TapFailed as error:
            failure = (await tap.outcome() if tap.broke_off else None) or error
        failure = failure or await tap.outcome()
        for stream, records in left_out.items():
            log.info("tap.stream_left_out", source=self._declaration.name, stream=stream, records=records)
        if failure is None:
            yield pile.page(last=True)
            return
        if len(pile):
            yield pile.page()
        raise failure

    def _take(self, line: bytes, number: int, pile: _Pile, left_out: Counter[str]) -> None:
        try:
            message = read_message(line)
        except NoMessage as error:
            excerpt = self._redact(line[: 4 * _EXCERPT].decode("utf-8", "replace"))[:_EXCERPT]
            hint = (
                error.hint or "A tap writes messages to standard output and everything else to standard error"
            )
            raise TapFailed(f"line {number} of the tap {error.message}: {excerpt}", hint=hint) from error
        match message:
            case Record():
                if self._declaration.streams and message.stream not in self._declaration.streams:
                    left_out[message.stream] += 1
                else:
                    pile.add(message, self.schemas.get(message.stream), number)
            case State():
                pile.state = self._storable(message, number)
                pile.at_state = True
            case Schema():
                self.schemas[message.stream] = message
            case ActivateVersion():
                self._warn(message)
            case _:
                assert_never(message)

    def _storable(self, state: State, number: int) -> str:
        text = state.value.decode()
        if self._redact.shows_secret(text):
            raise TapFailed(
                f"the state in line {number} of the tap contains a secret of its config, which is not stored"
            )
        return text

    def _warn(self, message: ActivateVersion) -> None:
        log.warning(
            "tap.table_replaced",
            source=self._declaration.name,
            stream=message.stream,
            reason="the tap has sent the whole table anew; records that are gone from it are kept",
        )


class _Pile:
    """The page being gathered, and the last state of the tap."""

    def __init__(self, page_size: int, state: str | None) -> None:
        self.state = state
        self.at_state = False
        """Whether nothing came after that state."""
        self._page_size = page_size
        self._records: list[RawRecord] = []
        self._rejects: list[Reject] = []
        self._size = 0

    def __len__(self) -> int:
        return len(self._records) + len(self._rejects)

    @property
    def full(self) -> bool:
        """A page ends with a state where that is possible: then nothing is sent twice."""
        waiting = len(self)
        return waiting >= (1 if self.at_state else 2) * self._page_size or self._size >= PAGE_BYTES

    def add(self, record: Record, schema: Schema | None, number: int) -> None:
        origin = StreamOrigin(record.stream, number)
        match record.element:
            case Flaw(payload, reason, message):
                self._rejects.append(Reject(payload, origin, reason, message))
                self._size += len(payload)
            case bytes(text):
                self._records.append(RawRecord(text, origin, key=schema.key if schema else ()))
                self._size += len(text)
        self.at_state = False

    def page(self, *, last: bool = False) -> Page:
        page = Page(
            self._records,
            None if self.state is None else {"state": self.state},
            rejects=self._rejects,
            size=self._size,
            last=last,
        )
        self._records, self._rejects, self._size = [], [], 0
        return page

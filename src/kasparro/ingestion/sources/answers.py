"""Answers taken apart: a response in, the envelope around its records out. `sources.api` reads every page through it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from kasparro.core.etl_config import AnswerFormat, ApiSource
from kasparro.ingestion.http.body import Bounds
from kasparro.ingestion.http.client import Response
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.sources.answer_formats import format_of
from kasparro.ingestion.sources.envelope import EMPTY, Envelope
from kasparro.ingestion.sources.large_answers import Begun, HandOn, LargeAnswer
from kasparro.ingestion.sources.opened_answer import OpenedAnswer
from kasparro.ingestion.sources.page_digest import PageDigest
from kasparro.ingestion.sources.selector import Selector, compile_selector

_LARGE: Final = 512 * 1024
"""Bodies from this size on, in bytes, are taken apart beside the event loop."""

_LAST: Final = "[-1]"
_LOOKS_INSIDE: Final = re.compile(r"[\[(*@{?]")


class AnswerReader:
    """Knows where in an answer the records of one source stand."""

    def __init__(self, declaration: ApiSource, redact: Redactor) -> None:
        self._declared = declaration
        self._records = _compiled(declaration.records, declaration.carry)
        self._error = _compiled(declaration.error, {})
        self._redact = redact
        self._digest = PageDigest(declaration)
        self._in_pieces = _can_be_read_in_pieces(declaration, self._records)
        self.bounds = Bounds(
            size=min(Bounds().size, declaration.max_size),
            hint="Ask for smaller pages, in `pagination` or `params`; with a plain path as `records` a page may be larger",
        )

    async def open(self, response: Response) -> Envelope:
        """Raises `TruncatedContent` for a body that ends early, `UnexpectedContent` for one that is not what was declared."""
        if response.status == HTTPStatus.NO_CONTENT:
            return EMPTY
        if len(response.content) >= _LARGE:
            return await asyncio.to_thread(self._whole, response)
        return self._whole(response)

    def large(self, hand_on: HandOn, begun: Begun) -> LargeAnswer:
        """What takes an answer that is too large to be held: *begun* is told that it is, *hand_on* is given its records."""
        bounds = Bounds(
            size=self._declared.max_size,
            hint="Ask for smaller pages, in `pagination` or `params`, or declare a larger `max_size`",
        )
        return LargeAnswer(self._in_pieces_opened, bounds, hand_on, begun)

    def _whole(self, response: Response) -> Envelope:
        envelope = self._opened(response).whole(response.content)
        return replace(envelope, digest=self._digest(envelope.elements))

    def _opened(self, head: Response) -> OpenedAnswer:
        return OpenedAnswer(self._declared, head, self._records, self._error, self._redact)

    def _in_pieces_opened(self, head: Response) -> OpenedAnswer | None:
        lines = (AnswerFormat.NDJSON, AnswerFormat.CSV)
        by_lines = format_of(self._declared.format, head.content_type) in lines
        return self._opened(head) if by_lines or self._in_pieces else None


def _compiled(text: str | None, carry: dict[str, str]) -> Selector | None:
    return None if text is None else compile_selector(text, carry)


def _can_be_read_in_pieces(declaration: ApiSource, records: Selector | None) -> bool:
    """Whether nothing has to be looked at but one record after the other, what is around them, and the last one."""
    flat = None if records is None else records.flat
    if records is not None and records.names is None and (flat is None or flat.carries_from_answer):
        return False
    paging = declaration.pagination.model_dump(exclude={"type"})
    expressions = [v for k, v in paging.items() if isinstance(v, str) and not k.endswith("param")]
    return not any(_looks_inside(text) for text in [*expressions, declaration.error or ""])


def _looks_inside(expression: str) -> bool:
    return _LOOKS_INSIDE.search(expression.replace(_LAST, "")) is not None

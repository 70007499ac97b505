"""Answers taken apart: a response in, the envelope around its records out. `sources.api` reads every page through it."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Final

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.http.client import Response
from kasparro.ingestion.http.json_text import utf8_text
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.status import EXCERPT, excerpt
from kasparro.ingestion.sources.envelope import EMPTY, Envelope, open_envelope
from kasparro.ingestion.sources.selector import compile_selector

_LARGE: Final = 512 * 1024
"""Bodies from this size on, in bytes, are taken apart beside the event loop."""


class AnswerReader:
    """Knows where in an answer the records of one source stand."""

    def __init__(self, declaration: ApiSource, redact: Redactor) -> None:
        self._records = compile_selector(declaration.records) if declaration.records is not None else None
        self._redact = redact

    async def open(self, response: Response) -> Envelope:
        """Raises `TruncatedContent` for a body that ends early, `UnexpectedContent` for one that is not what was declared."""
        if response.status == HTTPStatus.NO_CONTENT:
            return EMPTY
        if len(response.content) >= _LARGE:
            return await asyncio.to_thread(self._read, response)
        return self._read(response)

    def _read(self, response: Response) -> Envelope:
        text = utf8_text(response.content, response.charset)
        return open_envelope(text, self._records, partial(self._describe, response, text))

    def _describe(self, response: Response, text: bytes) -> str:
        beginning = self._redact(excerpt(text))[:EXCERPT]
        return f"{response.content_type}: {beginning}" if beginning else f"empty ({response.content_type})"

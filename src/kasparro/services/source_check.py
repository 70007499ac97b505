"""`sources check`: a declaration in, the outcome of each step on the way to its first records out.

Nothing is written and no database is needed. A step that fails says what to do; those that need it are not tried.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from kasparro.core.errors import AuthenticationFailed, KasparroError, SourceError, TransientSourceError
from kasparro.core.etl_config import (
    ApiSource,
    CsvSource,
    SingerSource,
    SourceDeclaration,
    StreamSource,
    path_kind,
)
from kasparro.ingestion.http.tls import tls_contexts
from kasparro.ingestion.ports import Facilities
from kasparro.ingestion.singer.discovery import stream_names
from kasparro.ingestion.singer.source import TapPages
from kasparro.ingestion.singer.workplace import command_of
from kasparro.services.check_steps import Outcome, Step, failed, stopwatch
from kasparro.services.file_check import file_steps
from kasparro.services.network_check import TLS, network_steps
from kasparro.services.preview import FirstPage, first_page
from kasparro.services.sample_check import sample_steps

AUTHENTICATION: Final = "authentication"
FIRST_PAGE: Final = "first page"
PROGRAM: Final = "program"
STREAMS: Final = "streams"
_SAMPLE: Final = 100
_BESIDE: Final = frozenset({"ordinal", "seen", "auto"})
"""What a cursor holds beside the place of the next page."""
_WHERE_RECORDS_GET_LOST: Final = {
    "api": "filters in `params`, and `records`",
    "csv": "`path`, `header` and `skip_rows`",
    "singer": "`config`, and what `catalog` and `streams` select",
    "stream": "its declaration",
}
_NETWORK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """How it went: the steps, the first page where it came, the error where it did not."""

    steps: list[Step]
    page: FirstPage | None
    error: KasparroError | None

    @property
    def failed(self) -> bool:
        return any(step.outcome is Outcome.FAIL for step in self.steps)


async def check_source(declaration: SourceDeclaration, facilities: Facilities | None = None) -> SourceCheck:
    """Take every step there is for this kind of source."""
    before = [step async for step in _on_the_way(declaration)]
    if any(step.outcome is Outcome.FAIL and step.step != TLS for step in before):
        why = next(step for step in before if step.outcome is Outcome.FAIL)
        skipped = Step(FIRST_PAGE, Outcome.SKIPPED, f"{why.step} failed")
        error = why.error or TransientSourceError(why.detail, hint=why.hint)
        return SourceCheck([*before, skipped], None, error)
    tap = TapPages(declaration, _SAMPLE) if isinstance(declaration, SingerSource) else None
    took = stopwatch()
    try:
        page = await first_page(declaration, _SAMPLE, tap, facilities)
    except SourceError as error:
        return SourceCheck([*before, *_refused(declaration, error, took())], None, error)
    steps = [
        *before,
        *_arrived(declaration, page, took()),
        *_streams(tap),
        *sample_steps(declaration, page.previews),
    ]
    return SourceCheck(steps, page, None)


async def _on_the_way(declaration: SourceDeclaration) -> AsyncIterator[Step]:
    match declaration:
        case ApiSource() | StreamSource():
            async for step in _reached(declaration, declaration.url):
                yield step
        case CsvSource():
            if path_kind(declaration.path) == "http":
                async for step in _reached(declaration, declaration.path):
                    yield step
                    if step.outcome is Outcome.FAIL:
                        return
            for step in await asyncio.to_thread(lambda: list(file_steps(declaration))):
                yield step
        case SingerSource():
            yield _program(declaration)


def _reached(declaration: ApiSource | CsvSource | StreamSource, url: str) -> AsyncIterator[Step]:
    tls: ssl.SSLContext | bool = True
    if not isinstance(declaration, StreamSource):
        tls = tls_contexts(declaration.tls, declaration.folder).own
    return network_steps(url, _NETWORK_SECONDS, credential=declaration.auth.type != "none", tls=tls)


def _program(declaration: SingerSource) -> Step:
    program = command_of(declaration)[0]
    found = shutil.which(program)
    if found is None:
        hint = "Install the tap, in an environment of its own, and give the path of its program as `command`"
        return Step(PROGRAM, Outcome.FAIL, f"{program} is not a program that can be started", hint)
    keys = ", ".join(declaration.config) or "empty"
    return Step(PROGRAM, Outcome.OK, f"{found}; config: {keys}")


def _refused(declaration: SourceDeclaration, error: SourceError, milliseconds: int) -> list[Step]:
    if not isinstance(declaration, ApiSource):
        return [failed(FIRST_PAGE, error, milliseconds)]
    if isinstance(error, AuthenticationFailed):
        return [
            failed(AUTHENTICATION, error, milliseconds),
            Step(FIRST_PAGE, Outcome.SKIPPED, f"{AUTHENTICATION} failed"),
        ]
    return [failed(FIRST_PAGE, error, milliseconds)]


def _arrived(declaration: SourceDeclaration, page: FirstPage, milliseconds: int) -> list[Step]:
    total = "" if page.total is None else f" of {page.total:,}"
    came = f"{page.records + page.rejects:,} records{total}, {page.size:,} bytes"
    outcome, hint = Outcome.OK, None
    if not page.previews:
        outcome, hint = (
            Outcome.WARN,
            f"If there should be some: check {_WHERE_RECORDS_GET_LOST[declaration.type]}",
        )
    said = "".join(f"; {notice.message}" for notice in page.notices)
    steps = [Step(FIRST_PAGE, outcome, f"{came}{_paging(declaration, page)}{said}", hint, milliseconds)]
    if isinstance(declaration, ApiSource):
        steps.insert(0, Step(AUTHENTICATION, Outcome.OK, _accepted(declaration)))
    return steps


def _accepted(declaration: ApiSource) -> str:
    kind = declaration.auth.type
    if kind == "none":
        return "auth none: nothing was sent, and the answer was a success (2xx)"
    return f"auth {kind}: sent to {urlsplit(declaration.url).netloc}, and the answer was a success (2xx)"


def _paging(declaration: SourceDeclaration, page: FirstPage) -> str:
    if not isinstance(declaration, ApiSource):
        return ""
    kind = declaration.pagination.type
    after = page.cursor.get("after") if page.cursor else None
    place = (
        next(((name, value) for name, value in after.items() if name not in _BESIDE), None) if after else None
    )
    if place is not None:
        return f"; pagination {kind}: next is {place[0]} {place[1]}"
    short = page.total is not None and page.total > page.records + page.rejects
    return f"; pagination {kind}: no further page{', although there are more records' if short else ''}"


def _streams(tap: TapPages | None) -> list[Step]:
    if tap is None:
        return []
    seen = [f"{one.stream} (key {', '.join(one.key) or 'none'})" for one in tap.schemas.values()]
    chosen = (
        "no catalog" if tap.catalog is None else f"selected: {', '.join(stream_names(tap.catalog)) or 'none'}"
    )
    return [Step(STREAMS, Outcome.OK, f"{chosen}; seen: {', '.join(seen) or 'none'}")]

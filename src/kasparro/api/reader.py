"""Answers to reads of the dataset: what its current state is, whether the caller has that already, else what is kept or made.

    question --> versions (one question for all who wait) --> 304 | kept here | shared | PostgreSQL

The routes and the short way past them (`short_way`) both ask it, so an answer is the same whichever way a request came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

from kasparro.api.answer import Answer
from kasparro.api.answer_cache import AnswerCache, Kept
from kasparro.api.codings import deflated, gzip_around
from kasparro.api.compression import SMALLEST, aside
from kasparro.api.exchange import Exchange
from kasparro.api.headers import Header
from kasparro.api.questions import Marks, Question, Questions
from kasparro.api.records import next_cursor, page_texts, record_bytes
from kasparro.api.shared_cache import SharedCache
from kasparro.api.validators import ANYTHING, known_tags, tag_of, validators
from kasparro.core.errors import NotFound
from kasparro.services.freshness import Freshness
from kasparro.storage.dataset import Dataset
from kasparro.storage.versions import DatasetState, Versions

GZIPPED: Final = (b"content-encoding", b"gzip")
JSON: Final = (b"content-type", b"application/json")
AS_OF: Final = b"x-as-of"
STALE: Final = {None: b"null", True: b"true", False: b"false"}
REVALIDATE: Final = (b"cache-control", b"private, no-cache")


class Found(NamedTuple):
    """All that decides how a question is answered, but for the request. `page` is None where the caller has it already.

    `marks` are those of an answer that may be kept, `packed` is the end of the page where it is to be sent packed.
    """

    stale: bool | None
    marks: Marks | None
    page: Kept | None
    packed: Kept | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    dataset: Dataset
    versions: Versions
    questions: Questions
    freshness: Freshness
    cache: AnswerCache
    shared: SharedCache | None

    async def page(self, query_string: bytes, exchange: Exchange, headers: Iterable[Header]) -> Answer:
        """The page that a query string asks for. Raises `RequestError` and `StorageError`."""
        return await self.answer(self.questions.read(query_string), known_tags(headers), exchange)

    async def answer(self, question: Question, tags: frozenset[bytes], exchange: Exchange) -> Answer:
        """The page that is asked for, or 304 where its tag is among *tags*. Raises `StorageError`."""
        return await self.from_state(question, tags, exchange, await self.versions.current())

    async def from_state(
        self, question: Question, tags: frozenset[bytes], exchange: Exchange, state: DatasetState
    ) -> Answer:
        """The same from a *state* that is known. Raises `StorageError`."""
        return self.at_once(question, tags, exchange, state) or await self.make(question, exchange, state)

    async def make(self, question: Question, exchange: Exchange, state: DatasetState) -> Answer:
        """What `at_once` had no answer for. Raises `StorageError`."""
        stale = self.freshness.of(question.source, state)
        if not question.kept:
            made = Found(stale, None, await self._make_page(question, ""))
            return self.write(question, exchange, state, made)
        marks = question.marks(state)
        page = self.cache.found(question.asked, marks.stamp) or await self.cache.made(
            question.asked, marks.stamp, partial(self._shared_page, question, marks.stamp)
        )
        packed = await self._packed(question.asked, page) if self._is_packed(exchange, page) else None
        return self.write(question, exchange, state, Found(stale, marks, page, packed))

    def at_once(
        self, question: Question, tags: frozenset[bytes], exchange: Exchange, state: DatasetState
    ) -> Answer | None:
        """What can be answered without waiting for anything. Looks once a request."""
        found = self.find(question, tags, exchange, state)
        return self.write(question, exchange, state, found) if found else None

    def find(
        self, question: Question, tags: frozenset[bytes], exchange: Exchange, state: DatasetState
    ) -> Found | None:
        """That the caller has it already, or what is kept, if it is."""
        if not question.kept:
            return None
        marks, stale = question.marks(state), self.freshness.of(question.source, state)
        if tags and (ANYTHING in tags or marks.tag in tags):
            return Found(stale, marks, None)
        page = self.cache.get(question.asked, marks.stamp)
        exchange.kept = page is not None
        if page is None:
            return None
        if not self._is_packed(exchange, page):
            return Found(stale, marks, page)
        packed = self.cache.found(_packed_name(question.asked), page.stamp)
        return Found(stale, marks, page, packed) if packed else None

    def write(self, question: Question, exchange: Exchange, state: DatasetState, found: Found) -> Answer:
        """The answer to one request."""
        own = _told(state, found.stale)
        if found.marks is not None:
            own += found.marks.validators
        if found.page is None:
            return Answer(HTTPStatus.NOT_MODIFIED, own)
        body = b"".join(self.pieces(exchange, state, found))
        if found.packed is not None:
            own.append(GZIPPED)
        own += (JSON, (b"link", question.link(found.page.cursor)), (b"content-length", b"%d" % len(body)))
        return Answer(HTTPStatus.OK, own, body)

    def pieces(self, exchange: Exchange, state: DatasetState, found: Found) -> tuple[bytes, ...]:
        """Its body: what the answer says of itself, and the page."""
        if found.page is None:
            return ()
        beginning = b'{"request_id":"%b","as_of":"%b","stale":%b%b%.3f' % (
            exchange.request_id.encode(),
            state.as_of_text,
            STALE[found.stale],
            found.page.before,
            exchange.milliseconds,
        )
        if found.packed is not None:
            return (gzip_around(beginning, found.page.after, found.packed.after),)
        return beginning, found.page.after

    async def record(self, record_id: int, exchange: Exchange, headers: Iterable[Header]) -> Answer:
        """One record. Raises `NotFound` and `StorageError`."""
        asked = b"record %d" % record_id
        state = await self.versions.current()
        tags = known_tags(headers)
        for tag in tags:
            source = tag.rpartition(b".")[2].decode("latin-1")
            if source in state.sources and tag == _record_tag(asked, state, source):
                return Answer(HTTPStatus.NOT_MODIFIED, self._of_record(asked, state, source))
        kept = self.cache.peek(asked)
        current = state.stamp(kept.source) if kept else ""
        found = self.cache.get(asked, current)
        exchange.kept = found is not None
        if found is None:
            found = await self.cache.made(asked, state.whole, partial(self._make_record, record_id, state))
        own = self._of_record(asked, state, found.source or "")
        if ANYTHING in tags:
            return Answer(HTTPStatus.NOT_MODIFIED, own)
        own += (JSON, (b"content-length", b"%d" % len(found.after)))
        return Answer(HTTPStatus.OK, own, found.after)

    def _of_record(self, asked: bytes, state: DatasetState, source: str) -> list[Header]:
        tag = _record_tag(asked, state, source)
        return _told(state, self.freshness.of(source, state)) + validators(tag, state.changed_at(source))

    async def close(self) -> None:
        await self.cache.close()
        if self.shared is not None:
            await self.shared.close()
        await self.versions.close()

    def _is_packed(self, exchange: Exchange, page: Kept) -> bool:
        return exchange.accepts.gzip and len(page.after) >= SMALLEST

    async def _packed(self, asked: bytes, page: Kept) -> Kept:
        """The end of *page*, packed once and kept like the page itself."""
        name = _packed_name(asked)

        async def make() -> Kept:
            return Kept(page.stamp, b"", await aside(deflated, page.after))

        return self.cache.found(name, page.stamp) or await self.cache.made(name, page.stamp, make)

    async def _shared_page(self, question: Question, stamp: str) -> Kept:
        """A page that another instance made, else one made here and shared."""
        if self.shared is None:
            return await self._make_page(question, stamp)
        dataset = await self.dataset.identity()
        kept = await self.shared.get(dataset, question.asked, stamp)
        if kept is None:
            kept = await self._make_page(question, stamp)
            self.shared.put(dataset, question.asked, kept)
        return kept

    async def _make_page(self, question: Question, stamp: str) -> Kept:
        page = await self.dataset.page(question.query)
        cursor = next_cursor(question.query, page)
        before, after = page_texts(question.query, page, cursor)
        return Kept(stamp, before, after, cursor)

    async def _make_record(self, record_id: int, state: DatasetState) -> Kept:
        row = await self.dataset.record(record_id)
        if row is None:
            raise NotFound(f"there is no record {record_id}")
        return Kept(state.stamp(row.source), b"", record_bytes(row), source=row.source)


def _told(state: DatasetState, stale: bool | None) -> list[Header]:  # noqa: FBT001  # None as well
    """What every answer says of the state it is from."""
    own: list[Header] = [REVALIDATE, (AS_OF, state.as_of_text)]
    if stale is not None:
        own.append((b"x-stale", STALE[stale]))
    return own


def _packed_name(asked: bytes) -> bytes:
    return b"packed " + asked


def _record_tag(asked: bytes, state: DatasetState, source: str) -> bytes:
    """It names the source, so that whoever brings it back is answered without a look at the record."""
    return tag_of(asked, state.stamp(source), source)

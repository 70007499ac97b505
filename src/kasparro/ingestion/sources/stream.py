"""Records that a program hands over itself: JSON texts in, pages out, in the order given."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from kasparro.schemas.ingest import Cursor, Page, RawRecord, StreamOrigin

RECORDS_A_PAGE = 500


class StreamPages:
    """See `ingestion.ports.Source`. A stream is read once; whoever hands it over decides where it begins."""

    def __init__(self, name: str, records: AsyncIterable[bytes]) -> None:
        self._name = name
        self._records = records

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:  # noqa: ARG002  # the stream begins where it begins
        gathered: list[RawRecord] = []
        position = 0
        async for payload in self._records:
            gathered.append(RawRecord(payload, StreamOrigin(self._name, position)))
            position += 1
            if len(gathered) >= RECORDS_A_PAGE:
                yield _page(gathered)
                gathered = []
        if gathered or not position:
            yield _page(gathered)


def _page(records: list[RawRecord]) -> Page:
    return Page(records, cursor=None, size=sum(len(record.payload) for record in records))

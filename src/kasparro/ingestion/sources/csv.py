"""A declared CSV file as a `Source`. Called by `ingestion.opening`; the reading itself is in `ingestion.csv`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

from kasparro.core.errors import SourceError
from kasparro.core.etl_config import CsvSource, path_kind
from kasparro.ingestion.csv.turns import CsvReading
from kasparro.ingestion.run_thread import computed
from kasparro.schemas.ingest import Cursor, Page


class CsvPages:
    """The records of CSV files: pages of at most *page_size*, read off the event loop."""

    def __init__(self, declaration: CsvSource, page_size: int) -> None:
        self._declaration = declaration
        self._page_size = max(1, page_size)

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        """Yield what *after* does not say has been read, or everything where a file is not what it was then.

        The cursor of the last page says so: from there on the next run reads what is new or changed. At any moment one page is
        held here, the one that is handed over. Raises `SourceChanged` when a file changes meanwhile.
        """
        worker = _Worker(self._declaration, self._page_size, after)
        far = path_kind(self._declaration.path) != "local"  # waits for a network, and would have the run wait
        try:
            while True:
                page = await (asyncio.to_thread if far else computed)(worker.next_page)
                yield page
                if page.last:
                    return
        finally:
            worker.close()


class _Worker:
    """One reading, used from one thread at a time and closed from another, even while a page is being read."""

    def __init__(self, declaration: CsvSource, page_size: int, after: Cursor | None) -> None:
        self._asked = (declaration, page_size, after)
        self._lock = threading.Lock()
        self._reading: CsvReading | None = None
        self._closed = False

    def next_page(self) -> Page:
        with self._lock:
            if self._closed:
                raise SourceError("the source was closed before it was read")
            if self._reading is None:
                self._reading = CsvReading(*self._asked)
            return self._reading.next_page()

    def close(self) -> None:
        """Close the file; what is being read in the other thread is ended and waited for, which takes milliseconds."""
        if (reading := self._reading) is not None:
            reading.interrupt()
        with self._lock:
            self._closed = True
            if self._reading is not None:
                self._reading.close()

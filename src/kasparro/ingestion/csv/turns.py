"""The files of a source, one after the other, page by page: what is known to be unchanged is not read again.

In: a declaration and the cursor of the last committed page. Out: `Page`s. Called by `ingestion.sources.csv`, every method in a
worker thread and one at a time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

import structlog

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.dialect import NO_DELIMITER
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.format import FileFormat, read_format
from kasparro.ingestion.csv.locations import Location, find, open_file
from kasparro.ingestion.csv.progress import FileState, progress, stamp
from kasparro.ingestion.csv.reading import FileReading
from kasparro.ingestion.csv.resuming import Kept, kept
from kasparro.schemas.ingest import Cursor, Notice, NoticeCode, Page

_NOTHING: Final[tuple[()]] = ()

log = structlog.get_logger(__name__)


class CsvReading:
    """The pages of all files of a source from one cursor on."""

    def __init__(self, declaration: CsvSource, page_size: int, after: Cursor | None) -> None:
        self._declaration = declaration
        self._page_size = page_size
        self._progress = progress(after, declaration.recipe_fingerprint())
        if declaration.snapshot:  # what a pass does not see counts as deleted: it has to see all
            self._progress = replace(self._progress, before={})
        self._locations = list(find(declaration))
        self._waiting = deque(self._locations)
        self._alone = len(self._locations) == 1
        self._file: SourceFile | None = None
        self._reading: FileReading | None = None
        self._name = ""
        self._total: int | None = None
        self._changed = False
        self._notices: tuple[Notice, ...] = ()
        self._kept = Page(_NOTHING, None)
        """What was left alone and is not told yet: as long as nothing is read, all may have to be read after all."""

    def next_page(self) -> Page:
        """Return the next page. Raises the `SourceError` family only."""
        page = None
        while page is None:
            if self._file is not None and self._reading is not None:
                page = self._next_of(self._file, self._reading)
            elif self._waiting:
                page = self._begin(self._waiting.popleft())
            else:
                page = Page(_NOTHING, None, total_size=self._total)
        page = self._with_what_was_kept(page)
        if self._file is None and not self._waiting:
            return replace(page, cursor=self._progress.cursor(complete=True), last=True)
        return replace(page, cursor=self._progress.cursor())

    def _with_what_was_kept(self, page: Page) -> Page:
        kept, notices = self._kept, self._notices
        self._kept, self._notices = Page(_NOTHING, None), ()
        together = kept.unchanged + page.unchanged
        return replace(page, unchanged=together, size=kept.size + page.size, notices=notices)

    def interrupt(self) -> None:
        """End soon what another thread is doing in `next_page`, which may be the verifying of a large file."""
        if (file := self._file) is not None:
            file.interrupt()

    def close(self) -> None:
        """Let go of the file at hand. Safe to call twice."""
        if self._file is not None:
            self._file.close()
        self._file = self._reading = None

    def _next_of(self, file: SourceFile, reading: FileReading) -> Page:
        cut = reading.next()
        file.check_unchanged()
        page = Page(cut.records, None, cut.rejects, size=cut.size, total_size=self._total)
        if cut.last:
            self._progress = self._progress.past(self._name, cut.state)
            self.close()
        else:
            self._progress = self._progress.at(self._name, cut.state)
        return page

    def _begin(self, location: Location) -> Page | None:
        """Open a file; a page if some of it is known to be unchanged and was not counted yet."""
        self._name = location.name
        self._file = file = open_file(location)
        self._total = file.size if self._alone else None
        state, counted = self._progress.known(self._name)
        if self._changed or state is None:
            return self._read(file, None, None, counted=False)
        if counted and self._is_done(state, file):
            self.close()
            return None
        stands = kept(file, state)
        if stands is not None and stands.whole:
            self._keep(file, state, stands, counted=counted)
            return None
        return self._read(file, state, stands, counted=counted)

    def _is_done(self, state: FileState, file: SourceFile) -> bool:
        """Say whether this pass is through with the file, and the file system says that it has not changed since."""
        return self._name in self._progress.done and state.stamp == stamp(file.fingerprint)

    def _keep(self, file: SourceFile, state: FileState, stands: Kept, *, counted: bool) -> None:
        """Leave a file alone that is what it was."""
        file.check_unchanged()
        now = FileState(stamp(file.fingerprint), state.form, state.places)
        self._progress = self._progress.past(self._name, now)
        log.info("csv.unchanged", source=self._declaration.name, file=self._name, bytes=stands.place.offset)
        self.close()
        records = 0 if counted else stands.place.records
        unchanged, size = self._kept.unchanged + records, self._kept.size + stands.place.offset
        self._kept = Page(_NOTHING, None, unchanged=unchanged, size=size)

    def _read(
        self, file: SourceFile, state: FileState | None, stands: Kept | None, *, counted: bool
    ) -> Page | None:
        """Read the file from where it no longer is what it was."""
        file.seek(0)
        found = read_format(self._declaration, file)
        if state is None or stands is None or state.form != found.digest:
            stands = None
        reading = FileReading(self._declaration, self._name, file, found, self._page_size, stands)
        gone = state is not None and (stands is None or stands.place != state.places[-1])
        if gone and self._progress.done and not reading.by_content:
            self._start_over()
            return None
        self._reading = reading
        self._tell(found, found.data_offset if stands is None else stands.place.offset)
        if not reading.by_content:
            self._note_change()
        if state is None or stands is None or counted or not stands.place.records:
            return None
        self._progress = self._progress.at(self._name, FileState(state.stamp, state.form, (stands.place,)))
        return Page(
            _NOTHING, None, size=stands.place.offset, total_size=self._total, unchanged=stands.place.records
        )

    def _start_over(self) -> None:
        """Have all files read again: what is gone from this one may stand in one before it, which then counts."""
        self.close()
        self._changed = True
        self._kept = Page(_NOTHING, None)
        self._waiting = deque(self._locations)
        self._progress = replace(self._progress, done={}, before={}, current=None)

    def _note_change(self) -> None:
        """Have all files behind this one read again: the last record with a key counts, and that may stand in a later one."""
        self._changed = True
        self._progress = replace(self._progress, before={})

    def _tell(self, found: FileFormat, offset: int) -> None:
        if found.encoding.how == "guess":
            self._notices += (_guessed(self._name, found.encoding.name),)
        log.info(
            "csv.opened",
            source=self._declaration.name,
            file=self._name,
            encoding=found.encoding.name,
            encoding_from=found.encoding.how,
            delimiter=None if found.dialect.delimiter == NO_DELIMITER else found.dialect.delimiter,
            columns=len(found.header),
            offset=offset,
        )


def _guessed(file: str, encoding: str) -> Notice:
    message = f"{file} is read as {encoding}, which is a guess: where it is wrong, so are letters, and nothing else shows it"
    return Notice(NoticeCode.ENCODING_GUESSED, message, {"file": file, "encoding": encoding})

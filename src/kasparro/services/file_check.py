"""Which files a CSV source has and how they are written. A declaration in, steps out; called in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from kasparro.core.errors import SourceError
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.format import FileFormat, read_format
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.services.check_steps import Outcome, Step, failed

FILES: Final = "files"
FORMAT: Final = "format"
_SHOWN: Final = 5
_SPELLED: Final = {"\t": "tab", " ": "blank"}


def file_steps(declaration: CsvSource) -> Iterator[Step]:
    """Find the files and look into the first."""
    try:
        found = find(declaration)
        with closing(open_file(found[0])) as first:
            size = "packed" if first.size is None else f"{first.size:,} bytes"
            names = ", ".join(one.name for one in found[:_SHOWN])
            more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
            count = (
                f"{len(found):,} files: {names}{more}; the first has {size}"
                if len(found) > 1
                else f"{names}, {size}"
            )
            yield Step(FILES, Outcome.OK, count)
            opened = first
            try:
                yield _described(read_format(declaration, opened))
            except SourceError as error:
                yield failed(FORMAT, error)
    except SourceError as error:
        yield failed(FILES, error)


def _described(found: FileFormat) -> Step:
    dialect = found.dialect
    delimiter = _SPELLED.get(dialect.delimiter, dialect.delimiter)
    written = f"{found.encoding.name} ({found.encoding.how}), delimiter {delimiter}, quotechar {dialect.quotechar or 'none'}"
    if not found.header:
        return Step(FORMAT, Outcome.WARN, f"{written}; the file is empty", "An empty file has no records")
    return Step(FORMAT, Outcome.OK, f"{written}; {len(found.header)} columns: {', '.join(found.header[:20])}")

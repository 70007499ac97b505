"""How new a record is: its text in, the moment in its `incremental.field` out. `prepare` and `pages` ask."""

from __future__ import annotations

from collections.abc import Callable

from kasparro.core.etl_config import CsvSource, SourceDeclaration
from kasparro.core.moments import format_named
from kasparro.ingestion.paths import compile_path
from kasparro.ingestion.values import Unfit, fields_decoder

ReadVersion = Callable[[bytes], int | None]
"""None: the field is missing, null or cannot be read, so that nothing says how new the record is."""


def version_reader(declaration: SourceDeclaration) -> ReadVersion | None:
    """Compile it; None where the source has no versions."""
    declared = declaration.incremental
    if declared is None:
        return None
    cells = isinstance(declaration, CsvSource)
    split = fields_decoder(cells=cells)
    path = compile_path(declared.field, cells=cells)
    form = format_named(declared.version_format)

    def read(payload: bytes) -> int | None:
        try:
            value = path.read(split(payload))
            return None if value is None or value == "" else form.read(value)
        except (Unfit, ValueError, OverflowError):
            return None

    return read


def is_older(read: ReadVersion, one: bytes, than: bytes) -> bool:
    """Whether record *one* must not take the place of *than*. Where one of them has no version, the later one is newer."""
    first, second = read(one), read(than)
    return first is not None and second is not None and first < second

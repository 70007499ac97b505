"""A declaration in, the source it declares out."""

from __future__ import annotations

from kasparro.core.errors import NotSupportedYet
from kasparro.core.etl_config import ApiSource, CsvSource, SingerSource, SourceDeclaration, StreamSource
from kasparro.ingestion.ports import Source
from kasparro.ingestion.resume import ResumableSource
from kasparro.ingestion.singer.source import TapPages
from kasparro.ingestion.sources.api import ApiPages
from kasparro.ingestion.sources.csv import CsvPages


def open_source(declaration: SourceDeclaration, page_size: int) -> Source:
    """Open what is declared; *page_size* is the most records of a page where the source leaves it to us."""
    return ResumableSource(declaration, _plain_source(declaration, page_size))


def _plain_source(declaration: SourceDeclaration, page_size: int) -> Source:
    match declaration:
        case ApiSource():
            return ApiPages(declaration)
        case CsvSource():
            return CsvPages(declaration, page_size)
        case SingerSource():
            return TapPages(declaration, page_size)
        case StreamSource():
            raise NotSupportedYet(f"source {declaration.name!r}: streams cannot be declared yet")

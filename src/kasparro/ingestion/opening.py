"""A declaration in, the source it declares out."""

from __future__ import annotations

from kasparro.core.errors import ConfigurationError, NotSupportedYet
from kasparro.core.etl_config import ApiSource, CsvSource, SourceDeclaration, StreamSource
from kasparro.ingestion.ports import Facilities, Source
from kasparro.ingestion.resume import ResumableSource
from kasparro.ingestion.sources.api import ApiPages
from kasparro.ingestion.sources.children import ChildPages
from kasparro.ingestion.sources.csv import CsvPages


def open_source(
    declaration: SourceDeclaration, page_size: int, facilities: Facilities | None = None
) -> Source:
    """Open what is declared; *page_size* is the most records of a page where the source leaves it to us.

    Without *facilities* nothing is shared with anybody.
    """
    return ResumableSource(declaration, _plain_source(declaration, page_size, facilities or Facilities()))


def _plain_source(declaration: SourceDeclaration, page_size: int, facilities: Facilities) -> Source:
    match declaration:
        case ApiSource(parent=None):
            return ApiPages(declaration)
        case ApiSource():
            return _of_parents(declaration, facilities)
        case CsvSource():
            return CsvPages(declaration, page_size)
        case StreamSource():
            raise NotSupportedYet(f"source {declaration.name!r}: streams cannot be declared yet")


def _of_parents(declaration: ApiSource, facilities: Facilities) -> Source:
    if declaration.parent is None or facilities.parents is None:
        raise ConfigurationError(
            f"source {declaration.name!r} is fetched for the records of another one, which are not at hand here"
        )
    return ChildPages(declaration, declaration.parent, facilities.parents)

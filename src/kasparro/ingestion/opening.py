"""A declaration in, the source it declares out."""

from __future__ import annotations

from kasparro.core.errors import ConfigurationError, NotSupportedYet
from kasparro.core.etl_config import (
    ApiSource,
    CsvSource,
    Parent,
    SingerSource,
    SourceDeclaration,
    StreamSource,
)
from kasparro.ingestion.http.gate import Gate, Waiting, gate_of
from kasparro.ingestion.incremental.conditional import ConditionalPages, can_be_conditional
from kasparro.ingestion.incremental.pages import IncrementalPages
from kasparro.ingestion.incremental.version import version_reader
from kasparro.ingestion.limits import LocalLimits
from kasparro.ingestion.polite import PoliteSource
from kasparro.ingestion.ports import Facilities, Source
from kasparro.ingestion.resume import ResumableSource
from kasparro.ingestion.singer.source import TapPages
from kasparro.ingestion.sources.api import ApiPages
from kasparro.ingestion.sources.children import ChildPages
from kasparro.ingestion.sources.csv import CsvPages


def open_source(
    declaration: SourceDeclaration,
    page_size: int,
    facilities: Facilities | None = None,
    waiting: Waiting | None = None,
) -> Source:
    """Open what is declared; *page_size* is the most records of a page where the source leaves it to us.

    Without *facilities* nothing is shared with anybody. *waiting* is time, sleep and chance for those that go by a clock.
    """
    waiting, facilities = waiting or Waiting(), facilities or Facilities()
    gate = gate_of(declaration, facilities.limits or LocalLimits(waiting.now), waiting)
    source = _plain_source(declaration, page_size, facilities, gate, waiting)
    rereads = not isinstance(source, IncrementalPages | TapPages)
    return PoliteSource(ResumableSource(declaration, source, rereads=rereads), gate)


def _plain_source(
    declaration: SourceDeclaration, page_size: int, facilities: Facilities, gate: Gate, waiting: Waiting
) -> Source:
    match declaration:
        case ApiSource() if declaration.parent is not None:
            return _of_parents(declaration, declaration.parent, facilities, gate, waiting)
        case ApiSource():
            return _api(declaration, gate, waiting)
        case CsvSource():
            return CsvPages(declaration, page_size)
        case SingerSource():
            return TapPages(declaration, page_size)
        case StreamSource():
            raise NotSupportedYet(f"source {declaration.name!r}: streams cannot be declared yet")


def _api(declaration: ApiSource, gate: Gate, waiting: Waiting) -> Source:
    pages, declared, read = (
        ApiPages(declaration, waiting, gate=gate),
        declaration.incremental,
        version_reader(declaration),
    )
    if declared is not None and declared.param is not None and read is not None:
        return IncrementalPages(declaration, declared, read, pages, waiting.now)
    return ConditionalPages(declaration, pages) if can_be_conditional(declaration) else pages


def _of_parents(
    declaration: ApiSource, parent: Parent, facilities: Facilities, gate: Gate, waiting: Waiting
) -> Source:
    if facilities.parents is None:
        raise ConfigurationError(
            f"source {declaration.name!r} is fetched for the records of another one, which are not at hand here"
        )
    return ChildPages(declaration, parent, facilities.parents, waiting, gate)

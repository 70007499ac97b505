"""A declaration in, the source it declares out.

What a kind of source needs is loaded when there is one: that of APIs would take a third of the start of every command.
"""

from __future__ import annotations

from importlib import import_module

from kasparro.core.errors import NotSupportedYet
from kasparro.core.etl_config import ApiSource, CsvSource, SingerSource, SourceDeclaration, StreamSource
from kasparro.ingestion.http.gate import Gate, Waiting, gate_of
from kasparro.ingestion.limits import LocalLimits
from kasparro.ingestion.polite import PoliteSource
from kasparro.ingestion.ports import Facilities, Source
from kasparro.ingestion.resume import ResumableSource


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
    return PoliteSource(ResumableSource(declaration, source, rereads=not gives_changes(declaration)), gate)


def gives_changes(declaration: SourceDeclaration) -> bool:
    """Whether the source gives only what changed, so that a reject comes again when it is mended and not before."""
    match declaration:
        case ApiSource():
            return declaration.incremental is not None and declaration.incremental.param is not None
        case SingerSource():
            return True
        case _:
            return False


def _plain_source(
    declaration: SourceDeclaration, page_size: int, facilities: Facilities, gate: Gate, waiting: Waiting
) -> Source:
    source: Source
    match declaration:
        case ApiSource():
            apis = import_module("kasparro.ingestion.sources.opening")
            source = apis.open_api(declaration, facilities, gate, waiting)
        case CsvSource():
            source = import_module("kasparro.ingestion.sources.csv").CsvPages(declaration, page_size)
        case SingerSource():
            source = import_module("kasparro.ingestion.singer.source").TapPages(declaration, page_size)
        case StreamSource():
            raise NotSupportedYet(f"source {declaration.name!r}: streams cannot be declared yet")
    return source

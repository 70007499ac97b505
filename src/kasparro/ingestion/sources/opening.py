"""An API that is declared in, the source it is out. Loaded by `ingestion.opening` when there is one."""

from __future__ import annotations

from kasparro.core.errors import ConfigurationError
from kasparro.core.etl_config import ApiSource, Parent
from kasparro.ingestion.http.gate import Gate, Waiting
from kasparro.ingestion.incremental.conditional import ConditionalPages, can_be_conditional
from kasparro.ingestion.incremental.pages import IncrementalPages
from kasparro.ingestion.incremental.version import version_reader
from kasparro.ingestion.ports import Facilities, Source
from kasparro.ingestion.sources.api import ApiPages
from kasparro.ingestion.sources.children import ChildPages


def open_api(declaration: ApiSource, facilities: Facilities, gate: Gate, waiting: Waiting) -> Source:
    if declaration.parent is not None:
        return _of_parents(declaration, declaration.parent, facilities, gate, waiting)
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

"""Whether a search can find anything at all."""

from __future__ import annotations

from kasparro.core.errors import InvalidParameter
from kasparro.core.etl_config import Catalog
from kasparro.schemas.query import RecordQuery


def refuse_what_is_not_searched(query: RecordQuery, catalog: Catalog) -> None:
    """A search that cannot find anything because nobody has declared that there is something to be found."""
    if query.search is None or query.source not in {None, *catalog.sources}:
        return
    asked = [query.source] if query.source is not None else list(catalog.sources)
    if not any(catalog.sources[name].search for name in asked):
        what = f"source {query.source!r} is not searched" if query.source else "no source is searched"
        raise InvalidParameter("q", what, hint="Declare `search: true` for it in the catalog")

"""Whether a source keeps its promise: `freshness`, how old its last good run may be. Asked for each answer of one source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from kasparro.core.etl_config import Catalog
from kasparro.storage.versions import DatasetState


class Freshness:
    """What the catalog promises."""

    def __init__(self, catalog: Catalog) -> None:
        self.promised: Mapping[str, timedelta] = {
            name: declared.freshness
            for name, declared in catalog.sources.items()
            if declared.freshness is not None
        }

    def of(self, source: str | None, state: DatasetState) -> bool | None:
        """Whether *source* is stale; None where nothing is promised. What never succeeded is stale."""
        promised = self.promised.get(source) if source is not None else None
        if promised is None or source is None:
            return None
        known = state.sources.get(source)
        if known is None or known.last_success is None:
            return True
        return state.as_of - known.last_success > promised

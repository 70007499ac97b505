"""The catalog: all declared sources of one file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from kasparro.core.declarations.any_source import SourceDeclaration
from kasparro.core.declarations.sources import ApiSource
from kasparro.core.errors import ConfigurationError, ConfigurationProblem


@dataclass(frozen=True)
class Catalog:
    """The declared sources, by name, in the order of the file.

    `incomplete`: disabled sources whose variables are not set, and what is missing.
    """

    sources: dict[str, SourceDeclaration]
    path: Path
    incomplete: dict[str, tuple[ConfigurationProblem, ...]] = field(default_factory=dict)

    def with_timeout(self, default: timedelta) -> Catalog:
        """The same, with *default* as the timeout of the REST sources that declare none (`API_TIMEOUT_SECONDS`)."""
        sources = {
            name: declared.model_copy(update={"timeout": default})
            if isinstance(declared, ApiSource) and "timeout" not in declared.model_fields_set
            else declared
            for name, declared in self.sources.items()
        }
        return replace(self, sources=sources)

    def source(self, name: str) -> SourceDeclaration:
        """The declaration of *name*, ready to be used.

        Raises `ConfigurationError`: there is none, with the nearest name; or it is disabled and its variables are not set.
        """
        if name not in self.sources:
            raise ConfigurationError(
                ConfigurationProblem(f"there is no source {name!r}", str(self.path)), hint=self._which(name)
            )
        if name in self.incomplete:
            raise ConfigurationError(*self.incomplete[name])
        return self.sources[name]

    def needs(self, name: str) -> tuple[str, ...]:
        """The sources that are to be ingested before *name*, where both are."""
        return self.sources[name].needs() if name in self.sources else ()

    def _which(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.sources, n=1)
        return f"Did you mean {near[0]!r}?" if near else f"Declared are: {', '.join(self.sources)}"

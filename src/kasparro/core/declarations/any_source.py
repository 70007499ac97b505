"""Any declared source: the union of the kinds, told apart by their `type`."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from kasparro.core.declarations.csv_source import CsvSource
from kasparro.core.declarations.singer import SingerSource
from kasparro.core.declarations.sources import ApiSource, StreamSource

AnySource = ApiSource | CsvSource | SingerSource | StreamSource
SourceDeclaration = Annotated[AnySource, Field(discriminator="type")]

MODELS: Final[dict[str, type[AnySource]]] = {
    "api": ApiSource,
    "csv": CsvSource,
    "singer": SingerSource,
    "stream": StreamSource,
}
